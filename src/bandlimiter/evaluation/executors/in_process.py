"""The plain engine: shards are done here, one after another; suspects in a process beside."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

import torch

from bandlimiter.errors import ConfigurationError
from bandlimiter.evaluation.executors.outcomes import Died, Outcome, attempt
from bandlimiter.evaluation.executors.packing import pack, require_positive
from bandlimiter.evaluation.executors.processes import ProcessPool
from bandlimiter.evaluation.executors.worker import Worker
from bandlimiter.evaluation.executors.worker_pool import Place, Task


@dataclass(frozen=True)
class InProcess:
    """Work is done in this process.

    Attributes
    ----------
    threads
        Of torch, while work is done; those that it has where omitted.
    """

    threads: int = field(default_factory=torch.get_num_threads)

    def __post_init__(self) -> None:
        require_positive(threads=self.threads)

    @contextmanager
    def pool(self, worker: Worker, shards: int) -> "Iterator[InProcessPool]":
        """See `Executor`."""
        before, pool = torch.get_num_threads(), InProcessPool(worker, self.threads)
        torch.set_num_threads(self.threads)
        try:
            yield pool
        finally:
            pool.close()
            torch.set_num_threads(before)


class InProcessPool:
    """One worker: this process. What may have killed it before is done in a child."""

    def __init__(self, worker: Worker, threads: int) -> None:
        self._worker, self._threads = worker, threads
        self._task: Task | None = None
        self._usable = True
        self._beside: ProcessPool | None = None

    @property
    def free(self) -> bool:
        """Whether there is nothing to do yet."""
        return self._task is None

    @cached_property
    def isolates(self) -> bool:
        """Whether the worker can be sent to a child."""
        try:
            pack(self._worker)
        except ConfigurationError:
            return False
        return True

    def submit(self, task: Task) -> None:
        """Take a task; `wait` does it."""
        self._task = task

    def wait(self) -> Sequence[tuple[Task | None, Outcome]]:
        """Do the task."""
        task, self._task = self._task, None
        if task is None:
            return []
        if task.place is Place.ANY and self._usable:
            return [(task, self._do(task))]
        # An image that ended this process once will come in other shards too: stay in the child.
        self._usable = False
        beside = self._child()
        beside.submit(task)
        ended: Sequence[tuple[Task | None, Outcome]] = []
        while not ended:
            ended = beside.wait()
        return ended

    def close(self) -> None:
        """End the child, where there is one."""
        if self._beside:
            self._beside.close()

    def _do(self, task: Task) -> Outcome:
        self._worker.start()
        outcome = attempt(self._worker, task.shard)
        self._usable = self._usable and not isinstance(outcome, Died)
        return outcome

    def _child(self) -> ProcessPool:
        if self._beside is None:
            self._beside = ProcessPool(pack(self._worker), 1, self._threads)
        return self._beside
