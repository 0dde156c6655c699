"""What the supervisor asks of any executor: workers that hold one shard each, as futures."""

import pickle
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import Any, Protocol

from bandlimiter.errors import ConfigurationError
from bandlimiter.evaluation.executors.outcomes import Outcome
from bandlimiter.evaluation.executors.worker import Worker
from bandlimiter.results.runs import Shard


class Member(Protocol):
    """One worker of a pool.

    Attributes
    ----------
    ready
        Done once it can be given shards.
    """

    ready: "Future[Any]"

    def submit(self, shard: Shard) -> "Future[Any]":
        """Give it a shard."""

    def outcome(self, future: "Future[Any]") -> Outcome | None:
        """Return what came of a future of its own, its death included; None from `ready`.

        What ends the run is raised.
        """

    def close(self) -> None:
        """End it, at once; again is harmless."""


class Pool(Protocol):
    """The workers of one run.

    Attributes
    ----------
    size
        How many there may be.
    """

    size: int

    def start(self) -> Member:
        """Start a worker."""

    def start_alone(self) -> Member:
        """Start a worker in a process of its own on this machine, whose end tells its cause.

        Raises
        ------
        ConfigurationError
            Where the worker cannot be sent to another process.
        """


class Executor(Protocol):
    """How a run's work is done; a plain description, which anyone can make."""

    @property
    def threads(self) -> int:
        """Threads of each worker: rows may depend on their number, and on nothing else here."""

    def pool(self, worker: Worker, shards: int) -> AbstractContextManager[Pool]:
        """Make workers for so many shards, and end them."""


def pack(worker: Worker, dumps: Callable[[Any], bytes] = pickle.dumps) -> bytes:
    """Return a worker as bytes that `pickle.loads` reads in another process.

    Raises
    ------
    ConfigurationError
        Where it cannot be pickled, as compiled models cannot.
    """
    try:
        return dumps(worker)
    except Exception as error:
        raise ConfigurationError(
            "expected models and images that can be sent to another process, got some that cannot: "
            f"{' '.join(str(error).split())}; use one worker in this process"
        ) from error


def require_positive(**numbers: int) -> None:
    """Refuse (ConfigurationError) numbers below one."""
    for name, number in numbers.items():
        if number < 1:
            raise ConfigurationError(f"expected at least one of {name}, got {number}")
