"""What the supervisor asks of an engine: workers that hold one task each."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from bandlimiter.evaluation.executors.outcomes import Outcome
from bandlimiter.evaluation.executors.worker import Worker
from bandlimiter.results.runs import Shard


class Place(Enum):
    """Where a task may be done."""

    ANY = "by any worker"
    OUTSIDE = "by any worker that is not the driver itself"
    ALONE = "in a process of its own, so that its death has one cause"


@dataclass(eq=False)
class Task:
    """Something to do: a shard of the plan, or one image of it.

    Attributes
    ----------
    shard
        What a worker is given.
    plan
        The shard of the plan that it is, or is a part of.
    place
        Where it may be done.
    deaths
        How many workers died on it.
    """

    shard: Shard
    plan: Shard
    place: Place = Place.ANY
    deaths: int = 0

    @property
    def whole(self) -> bool:
        """Whether it is a shard of the plan."""
        return self.shard is self.plan


class WorkerPool(Protocol):
    """The workers of one run."""

    @property
    def free(self) -> bool:
        """Whether a task can be handed to a worker now."""

    @property
    def isolates(self) -> bool:
        """Whether work can be done in a process other than this."""

    def submit(self, task: Task) -> None:
        """Give a task to a free worker."""

    def wait(self) -> Sequence[tuple[Task | None, Outcome]]:
        """Wait until something happens; return what ended, maybe nothing.

        A worker that ended before it had a task comes without one.
        """


class Executor(Protocol):
    """How a run's work is done; a plain description, which anyone can make."""

    @property
    def threads(self) -> int:
        """Threads of each worker: rows may depend on their number, and on nothing else here."""

    def pool(self, worker: Worker, shards: int) -> AbstractContextManager[WorkerPool]:
        """Make workers for so many shards, and end them."""
