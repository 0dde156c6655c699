"""The plain executor: shards are done here, one after another."""

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from bandlimiter.evaluation.executors.outcomes import Outcome, attempt
from bandlimiter.evaluation.executors.pool import Member, pack, require_positive
from bandlimiter.evaluation.executors.processes import ProcessPool
from bandlimiter.evaluation.executors.worker import Worker
from bandlimiter.results.runs import Shard


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
    """The driver itself, and another process once its device gives no answer any more."""

    size = 1

    def __init__(self, worker: Worker, threads: int) -> None:
        self._worker, self._threads = worker, threads
        self._used = False
        self._others: ProcessPool | None = None

    def start(self) -> Member:
        """Start with this process."""
        if self._used:
            return self.start_alone()
        self._used = True
        return Here(self._worker)

    def start_alone(self) -> Member:
        """Start another process."""
        if self._others is None:
            self._others = ProcessPool(pack(self._worker), self._threads)
        return self._others.start()

    def close(self) -> None:
        """Remove what other processes needed."""
        if self._others:
            self._others.close()


class Here:
    """The driver as a worker: a shard is done as it is submitted; see `Member`."""

    def __init__(self, worker: Worker) -> None:
        worker.start()
        self._worker = worker
        self.ready: Future[Any] = Future()
        self.ready.set_result(None)

    def submit(self, shard: Shard) -> "Future[Any]":
        """Do a shard; what ends the run is raised."""
        done: Future[Any] = Future()
        done.set_result(attempt(self._worker, shard))
        return done

    def outcome(self, future: "Future[Any]") -> Outcome | None:
        """Return what came of it."""
        outcome: Outcome | None = future.result()
        return outcome

    def close(self) -> None:
        """Do nothing: this process goes on."""
