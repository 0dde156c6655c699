"""The policy: what is handed out, tried again, taken apart, set aside; whatever does the work."""

from collections import deque
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from bandlimiter.errors import ConfigurationError
from bandlimiter.evaluation.executors.in_process import InProcess
from bandlimiter.evaluation.executors.outcomes import Died, Raised
from bandlimiter.evaluation.executors.pool import Executor, Member, Pool, pack
from bandlimiter.evaluation.executors.processes import Processes
from bandlimiter.evaluation.executors.worker import Reporter, Worker
from bandlimiter.evaluation.phases import WRITING, phase
from bandlimiter.results.runs import RunStore, Shard, ShardResult

ATTEMPTS = 2
"""How many workers may die on a shard before it is taken apart, and on an image alone."""

# That many deaths with nothing done in between are no image's fault.
_MOST_DEATHS = 20
_MOST_EARLY_DEATHS = 3

_TICK = 1.0  # seconds between looks at signals, where a wait cannot be interrupted


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
    What this process may have died on before is done in another.

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
    if not missing:
        return
    suspects = [shard for shard in missing if store.attempts(shard)]
    if suspects and isinstance(executor, InProcess):
        try:
            pack(worker)
        except ConfigurationError:
            _set_aside(store, worker, suspects)
        else:
            # An image that ended this process once will come in other shards too.
            executor = Processes(1, executor.threads)
    missing = store.missing()
    with executor.pool(worker, len(missing)) as pool:
        Supervisor(store, worker, pool, reporter).run(missing)


def _set_aside(store: RunStore, worker: Worker, suspects: Sequence[Shard]) -> None:
    """Give up shards that this process died on again and again, where it is the only one."""
    for shard in suspects:
        if (ended := store.attempts(shard)) >= ATTEMPTS:
            why = f"the run ended {ended} times on images of its shard"
            store.put(shard, worker.merge(shard, [worker.failed(p, why) for p in shard.parts()]))


@dataclass(eq=False)
class Task:
    """A shard of the plan, or one image of it.

    Attributes
    ----------
    shard
        What a worker is given.
    plan
        The shard of the plan that it is, or is a part of.
    alone
        Whether it gets a process of its own, so that its death has one cause.
    deaths
        How many workers died on it.
    """

    shard: Shard
    plan: Shard
    alone: bool = False
    deaths: int = 0

    @property
    def whole(self) -> bool:
        """Whether it is a shard of the plan."""
        return self.shard is self.plan


class Supervisor:
    """Sees to it that every shard ends in the store; see `run_shards`."""

    def __init__(
        self, store: RunStore, worker: Worker, pool: Pool, reporter: Reporter | None = None
    ) -> None:
        self._store, self._worker, self._pool, self._reporter = store, worker, pool, reporter
        self._queue: deque[Task] = deque()
        self._idle: list[Member] = []
        self._starting: dict[Future[Any], tuple[Member, Task | None]] = {}
        self._running: dict[Future[Any], tuple[Member, Task]] = {}
        self._begun: dict[str, Shard] = {}
        self._parts: dict[str, dict[int, ShardResult]] = {}
        self._deaths = self._early_deaths = 0

    def run(self, shards: Sequence[Shard]) -> None:
        """Do them all."""
        self._queue.extend(Task(shard, shard) for shard in shards)
        try:
            while self._queue or self._begun:
                self._hand_out()
                futures = [*self._starting, *self._running]
                for future in wait(futures, _TICK, FIRST_COMPLETED).done:
                    if future in self._starting:
                        self._started(future, *self._starting.pop(future))
                    else:
                        self._ended(future, *self._running.pop(future))
        finally:
            busy = [member for member, _ in (*self._starting.values(), *self._running.values())]
            for member in (*self._idle, *busy):
                member.close()
            for shard in self._begun.values():
                with suppress(Exception):  # what brought us here matters more, such as a full disk
                    self._store.release(shard)

    def _hand_out(self) -> None:
        """Give tasks to idle workers, and start as many more as there may and need be."""
        while self._queue and (self._queue[0].alone or self._idle):
            if not self._queue[0].alone:
                self._submit(self._idle[-1], self._queue.popleft())
                continue
            if self._members >= self._pool.size:
                if not self._idle:
                    return
                self._idle.pop().close()
            member = self._pool.start_alone()
            self._starting[member.ready] = member, self._queue.popleft()
        while self._members < self._pool.size and len(self._starting) < len(self._queue):
            member = self._pool.start()
            self._starting[member.ready] = member, None

    @property
    def _members(self) -> int:
        return len(self._idle) + len(self._starting) + len(self._running)

    def _submit(self, member: Member, task: Task) -> None:
        """Give a task to an idle worker."""
        shard = task.plan
        if shard.name not in self._begun:
            with phase(WRITING):
                self._store.begin(shard)
            self._begun[shard.name] = shard
            if self._reporter:
                self._reporter.started(shard)
        future = member.submit(task.shard)
        self._idle.remove(member)  # not before: what is raised meanwhile closes all that are here
        self._running[future] = member, task

    def _started(self, future: "Future[Any]", member: Member, task: Task | None) -> None:
        self._idle.append(member)
        outcome = member.outcome(future)
        if isinstance(outcome, Died):
            self._idle.pop().close()
            if task:
                self._queue.appendleft(task)
            self._early_deaths += 1
            if self._early_deaths >= _MOST_EARLY_DEATHS:
                raise ConfigurationError(
                    f"expected workers that load their models, got {self._early_deaths} deaths in "
                    f"a row before that, in the last the process {outcome.how}; use fewer if "
                    'memory is short, and in a script keep its work under if __name__ == "__main__"'
                )
        elif task:
            self._submit(member, task)

    def _ended(self, future: "Future[Any]", member: Member, task: Task) -> None:
        self._early_deaths = 0
        self._idle.append(member)  # also where what comes now is raised: all are closed then
        outcome = member.outcome(future)
        if isinstance(outcome, Died) or task.alone:
            self._idle.pop().close()
        if isinstance(outcome, Died):
            self._died(task, outcome)
            return
        self._deaths = 0
        if isinstance(outcome, ShardResult):
            self._keep(task, outcome)
        elif task.whole and len(task.shard.images) > 1:
            self._take_apart(task, alone=False)
        elif isinstance(outcome, Raised):
            self._keep(task, self._worker.failed(task.shard, outcome.error))

    def _died(self, task: Task, death: Died) -> None:
        self._deaths += 1
        if self._deaths >= _MOST_DEATHS:
            raise ConfigurationError(
                f"expected workers that live, got {self._deaths} deaths in a row with nothing done "
                f"between, in the last the process {death.how}; use fewer if memory is short"
            )
        task.deaths += not death.blameless
        if task.deaths < ATTEMPTS:
            self._queue.appendleft(task)
        elif task.whole:
            self._take_apart(task, alone=True)
        else:
            self._keep(task, self._worker.failed(task.shard, f"its process {death.how}"))

    def _take_apart(self, task: Task, alone: bool) -> None:
        parts = [Task(part, task.plan, alone) for part in task.shard.parts()]
        self._queue.extendleft(reversed(parts))

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
        with phase(WRITING):
            self._store.put(shard, result)
        del self._begun[shard.name]
        if self._reporter:
            self._reporter.finished(shard, result)
