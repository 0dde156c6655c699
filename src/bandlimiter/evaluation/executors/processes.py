"""Several processes on this machine: one pipe a worker, one task a worker, deaths observed."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import connection

from bandlimiter.evaluation.executors.child import Child
from bandlimiter.evaluation.executors.outcomes import Died, Outcome
from bandlimiter.evaluation.executors.packing import pack, require_positive
from bandlimiter.evaluation.executors.parcel import Parcel
from bandlimiter.evaluation.executors.worker import Worker
from bandlimiter.evaluation.executors.worker_pool import Place, Task


@dataclass(frozen=True)
class Processes:
    """Work is done by processes that this one starts.

    A script that uses them keeps its own work under ``if __name__ == "__main__":``, for workers
    import it again.

    Attributes
    ----------
    workers
        How many; each holds models and images.
    threads
        Of each.
    """

    workers: int = 2
    threads: int = 1

    def __post_init__(self) -> None:
        require_positive(workers=self.workers, threads=self.threads)

    @contextmanager
    def pool(self, worker: Worker, shards: int) -> "Iterator[ProcessPool]":
        """See `Executor`."""
        pool = ProcessPool(pack(worker), self.workers, self.threads)
        try:
            yield pool
        finally:
            pool.close()


class ProcessPool:
    """Children, started when there is work for them, and again after a death."""

    isolates = True

    def __init__(self, packed: bytes, workers: int, threads: int) -> None:
        self._parcel, self._workers, self._threads = Parcel(packed), workers, threads
        self._idle: list[Child] = []
        self._busy: dict[Child, Task] = {}

    @property
    def free(self) -> bool:
        """Whether fewer tasks are in work than there may be workers."""
        return len(self._busy) < self._workers

    def submit(self, task: Task) -> None:
        """Give a task to an idle child, or to a new one."""
        child = self._idle.pop() if self._idle else None
        if child and (task.place is Place.ALONE or not child.alive):
            child.end()
            child = None
        child = child or Child(self._parcel, self._threads)
        self._busy[child] = task
        child.ask(task.shard)

    def wait(self) -> Sequence[tuple[Task | None, Outcome]]:
        """Wait for a child to answer or to die."""
        connection.wait([sign for child in self._busy for sign in child.signs])
        ended: list[tuple[Task | None, Outcome]] = []
        for child in [child for child in self._busy if child.spoke]:
            outcome = child.answer()
            if outcome is not None:
                ended.append((self._retire(child, outcome), outcome))
        return ended

    def close(self) -> None:
        """End all children: idle ones leave, busy ones are killed. Nothing of theirs is lost."""
        for child in [*self._idle, *self._busy]:
            child.end()
        self._parcel.close()

    def _retire(self, child: Child, outcome: Outcome) -> Task:
        task = self._busy[child]
        if isinstance(outcome, Died) or task.place is Place.ALONE:
            child.end()
        else:
            self._idle.append(child)
        del self._busy[child]
        return task
