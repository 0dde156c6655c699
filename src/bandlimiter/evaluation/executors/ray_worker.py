"""What a Ray actor does: hold a worker, do shards; suspects in a child process of its own."""

import gc
import pickle

import torch

from bandlimiter.evaluation.executors.child import Child
from bandlimiter.evaluation.executors.outcomes import Outcome, attempt, trying
from bandlimiter.evaluation.executors.parcel import Parcel
from bandlimiter.evaluation.executors.serving import prepare_process
from bandlimiter.evaluation.executors.worker import Worker
from bandlimiter.results.runs import Shard


class RayWorker:
    """An actor.

    Parameters
    ----------
    packed
        The worker; see `pack`.
    threads
        Of torch.
    """

    def __init__(self, packed: bytes, threads: int) -> None:
        self._packed, self._threads = packed, threads
        self._worker: Worker | None = None
        prepare_process(threads)

    def build(self) -> Outcome | None:
        """Start the worker; None says that it is there."""

        def built() -> None:
            self._ready()

        return trying(built)

    def do(self, shard: Shard) -> Outcome | None:
        """Do a shard."""
        return trying(lambda: attempt(self._ready(), shard))

    def do_alone(self, shard: Shard) -> Outcome | None:
        """Do a shard in a new process, so that the actor lives to tell how that one ended."""
        self._worker = None  # makes room
        gc.collect()
        torch.cuda.empty_cache()

        def alone() -> Outcome:
            with Parcel(self._packed) as parcel:
                child = Child(parcel, self._threads)
                try:
                    return child.do(shard)
                finally:
                    child.end()

        return trying(alone)

    def _ready(self) -> Worker:
        if self._worker is None:
            self._worker = pickle.loads(self._packed)  # noqa: S301  (the driver's own)
        worker: Worker = self._worker
        worker.start()
        return worker
