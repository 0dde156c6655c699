"""The policy: what is handed out, tried again, taken apart, set aside; whatever does the work."""

from collections import deque
from collections.abc import Sequence
from contextlib import suppress

from bandlimiter.errors import ConfigurationError
from bandlimiter.evaluation.executors.outcomes import Died, Outcome, Stopped
from bandlimiter.evaluation.executors.worker import Reporter, Worker
from bandlimiter.evaluation.executors.worker_pool import Executor, Place, Task, WorkerPool
from bandlimiter.results.runs import RunStore, Shard, ShardResult

ATTEMPTS = 2
"""How many workers may die on a shard before it is taken apart, and on an image alone."""

# That many deaths with nothing done in between are no image's fault.
_MOST_DEATHS = 20
_MOST_BUILDS = 3


def run_shards(
    store: RunStore,
    worker: Worker,
    executor: Executor,
    reporter: Reporter | None = None,
) -> None:
    """Do what a store still misses.

    Shards are handed out in the order of the plan and stored as they come; the store alone
    decides what is done. A shard that raises is done again image by image, and an image that
    raises is recorded as failed. A shard whose worker dies is tried once more, then image by
    image in processes of their own; an image that ends these is recorded as failed ("poison").

    Parameters
    ----------
    store
        Open; this process alone writes to it.
    worker
        Does the work; copies of it do, in other processes.
    executor
        `InProcess`, `Processes` or `RayCluster`.
    reporter
        Is told of each shard.

    Raises
    ------
    ConfigurationError, NoGradientError, MissingExtraError, MemoryError, torch.OutOfMemoryError
        From a worker: they concern the whole run. ConfigurationError also where workers cannot
        be built, or die again and again.
    Exception
        Whatever the store or starting a worker raises. What is in the store stays there, and
        the same call goes on; shards given up are not blamed.
    """
    missing = store.missing()
    if missing:
        with executor.pool(worker, len(missing)) as pool:
            Supervisor(store, worker, pool, reporter).run(missing)


class Supervisor:
    """Sees to it that every shard ends in the store; see `run_shards`."""

    def __init__(
        self, store: RunStore, worker: Worker, pool: WorkerPool, reporter: Reporter | None = None
    ) -> None:
        self._store, self._worker, self._pool, self._reporter = store, worker, pool, reporter
        self._queue: deque[Task] = deque()
        self._begun: dict[str, Shard] = {}
        self._parts: dict[str, dict[int, ShardResult]] = {}
        self._deaths = self._builds = 0

    def run(self, shards: Sequence[Shard]) -> None:
        """Do them all."""
        self._queue.extend(Task(shard, shard) for shard in shards)
        try:
            while self._queue or self._begun:
                while self._queue and self._pool.free:
                    self._hand(self._queue.popleft())
                for task, outcome in self._pool.wait():
                    self._handle(task, outcome)
        finally:
            for shard in self._begun.values():
                with suppress(Exception):  # what brought us here matters more, such as a full disk
                    self._store.release(shard)

    def _hand(self, task: Task) -> None:
        shard = task.plan
        if shard.name not in self._begun:
            self._begun[shard.name] = shard
            earlier = self._store.begin(shard)
            if self._reporter:
                self._reporter.started(shard)
            if earlier and self._pool.isolates:
                task.place = Place.OUTSIDE  # maybe it killed the driver: there it will be seen
            elif earlier >= ATTEMPTS:
                return self._set_aside(
                    task, f"the run ended {earlier} times on images of its shard"
                )
        return self._pool.submit(task)

    def _handle(self, task: Task | None, outcome: Outcome) -> None:
        if isinstance(outcome, Stopped):
            raise outcome.exception()
        if isinstance(outcome, Died):
            self._count(outcome)
            if task:
                self._died(task, outcome)
            return
        self._deaths = self._builds = 0
        if task is None:
            return
        if isinstance(outcome, ShardResult):
            self._keep(task, outcome)
        else:
            self._failed(task, outcome.error)

    def _failed(self, task: Task, error: str) -> None:
        if task.whole and len(task.shard.images) > 1:
            self._take_apart(task, task.place)
        else:
            self._keep(task, self._worker.failed(task.shard, error))

    def _died(self, task: Task, death: Died) -> None:
        task.deaths += not death.building
        if task.deaths < ATTEMPTS:
            self._queue.appendleft(task)
        elif task.whole:
            self._take_apart(task, Place.ALONE)
        else:
            self._keep(task, self._worker.failed(task.shard, f"its process {death.how}"))

    def _count(self, death: Died) -> None:
        if death.building:
            self._builds += 1
        else:
            self._builds, self._deaths = 0, self._deaths + 1
        if self._builds >= _MOST_BUILDS:
            raise ConfigurationError(
                f"expected workers that load their models, got {self._builds} deaths in a row "
                f"before that, in the last the process {death.how}; use fewer if memory is short, "
                'and in a script keep its work under if __name__ == "__main__"'
            )
        if self._deaths >= _MOST_DEATHS:
            raise ConfigurationError(
                f"expected workers that live, got {self._deaths} deaths in a row with nothing done "
                f"between, in the last the process {death.how}; use fewer if memory is short"
            )

    def _take_apart(self, task: Task, place: Place) -> None:
        parts = [Task(part, task.plan, place) for part in task.shard.parts()]
        self._queue.extendleft(reversed(parts))

    def _set_aside(self, task: Task, why: str) -> None:
        for part in task.shard.parts():
            self._keep(Task(part, task.plan), self._worker.failed(part, why))

    def _keep(self, task: Task, result: ShardResult) -> None:
        """Store a shard, or an image's part once all parts are there."""
        shard = task.plan
        if not task.whole:
            parts = self._parts.setdefault(shard.name, {})
            parts[task.shard.images[0]] = result
            if len(parts) < len(shard.images):
                return
            result = self._worker.merge(shard, [parts[image] for image in shard.images])
            del self._parts[shard.name]
        self._store.put(shard, result)
        del self._begun[shard.name]
        if self._reporter:
            self._reporter.finished(shard, result)
