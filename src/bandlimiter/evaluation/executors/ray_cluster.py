"""Ray, for clusters: actors that hold a worker, one shard in flight each, none queued."""

import importlib
import os
import secrets
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from threading import current_thread, main_thread
from typing import Any

from bandlimiter.errors import BandlimiterError, ConfigurationError, MissingExtraError
from bandlimiter.evaluation.executors.outcomes import Died, Outcome, Raised, said
from bandlimiter.evaluation.executors.pool import Member, pack, require_positive
from bandlimiter.evaluation.executors.processes import ProcessPool
from bandlimiter.evaluation.executors.worker import Worker
from bandlimiter.evaluation.executors.worker_process import do, prepare, start
from bandlimiter.results.runs import Shard

LOCAL = "local"

_TOKEN = secrets.token_hex(32)
"""Of clusters that are started here: Ray reads a process's token once."""


@dataclass(frozen=True)
class RayCluster:
    """Work is done by Ray actors.

    Only this process writes to the store, so machines need to share no folder for it; images in
    folders, and a study's attacks, are read where they lie.

    Attributes
    ----------
    workers
        How many actors.
    threads
        Of each; also the CPUs that it asks Ray for.
    address
        The cluster's, or ``auto``; ``local`` starts Ray on this machine, where only whoever has
        its token is answered (Ray's own authentication).
    num_gpus
        GPUs that an actor asks for; may be a fraction.
    """

    workers: int = 2
    threads: int = 1
    address: str = LOCAL
    num_gpus: float = 0.0

    def __post_init__(self) -> None:
        require_positive(workers=self.workers, threads=self.threads)
        if self.num_gpus < 0:
            raise ConfigurationError(f"expected no less than 0 GPUs a worker, got {self.num_gpus}")

    @contextmanager
    def pool(self, worker: Worker, shards: int) -> "Iterator[RayPool]":
        """See `Executor`."""
        size = min(self.workers, shards)
        with redirect_stdout(sys.stderr), _connected(self.address, size * self.threads) as ray:
            self._require_room(ray)
            pool = RayPool(ray, worker, self, size)
            try:
                yield pool
            finally:
                pool.close()

    def _require_room(self, ray: Any) -> None:
        """Refuse what no machine can hold: Ray would wait for one without a word."""
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        asked = {"CPU": self.threads, "GPU": self.num_gpus}
        if not any(all(node.get(k, 0) >= n for k, n in asked.items()) for node in nodes):
            have = "; ".join(f"CPU {n.get('CPU', 0):g}, GPU {n.get('GPU', 0):g}" for n in nodes)
            raise ConfigurationError(
                f"expected a machine with {self.threads} CPUs and {self.num_gpus:g} GPUs for each "
                f"worker, Ray has: {have}"
            )


class RayPool(ProcessPool):
    """Actors; what may have killed some is done in processes of this machine: see `Pool`."""

    def __init__(self, ray: Any, worker: Worker, asked: RayCluster, size: int) -> None:
        packed = pack(worker, ray.cloudpickle.dumps)
        super().__init__(packed, asked.threads, size)
        self._ray, self._content = ray, ray.put(packed)
        self._actor = ray.remote(
            num_cpus=asked.threads, num_gpus=asked.num_gpus, max_restarts=0, max_task_retries=0
        )(_Actor)

    def start(self) -> Member:
        """Start an actor."""
        return RayMember(self._ray, self._actor.remote(self._threads), self._content)


class RayMember:
    """One actor: see `Member`."""

    def __init__(self, ray: Any, actor: Any, content: Any) -> None:
        self._ray, self._actor = ray, actor
        self.ready: Future[Any] = actor.start.remote(content).future()

    def submit(self, shard: Shard) -> "Future[Any]":
        """Give it a shard."""
        future: Future[Any] = self._actor.do.remote(shard).future()
        return future

    def outcome(self, future: "Future[Any]") -> Outcome | None:
        """Return what came of a future."""
        kinds = self._ray.exceptions
        try:
            outcome: Outcome | None = future.result()
        except kinds.RayTaskError as error:
            if isinstance(error.cause, (BandlimiterError, MemoryError, RuntimeError, OSError)):
                raise error.cause from error
            return Raised(said(error))  # what it gave could not be sent
        except kinds.RayError as error:
            short_of_memory = isinstance(error, kinds.OutOfMemoryError)  # whoever was largest
            return Died(f"was lost: {said(error)}", blameless=short_of_memory)
        return outcome

    def close(self) -> None:
        """Kill the actor."""
        self._ray.kill(self._actor)


class _Actor:
    def __init__(self, threads: int) -> None:
        prepare(threads)

    def start(self, packed: bytes) -> None:
        start(packed)

    def do(self, shard: Shard) -> Outcome:
        return do(shard)


def import_ray() -> Any:
    """Return the module; MissingExtraError where it is not installed."""
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise MissingExtraError(
            "expected ray; install it with pip install 'bandlimiter[ray]'"
        ) from error


@contextmanager
def _connected(address: str, cpus: int) -> Iterator[Any]:
    """Yield Ray, connected; in the end disconnect, and end what was started here."""
    ray = import_ray()
    if ray.is_initialized():
        raise ConfigurationError(
            "expected no connection to Ray in this process, got one; call ray.shutdown() first"
        )
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    given = {"RAY_USAGE_STATS_ENABLED": "0"}
    if address == LOCAL:
        options |= {"num_cpus": cpus, "include_dashboard": False}
        # Else Ray makes one, and writes it into the user's home.
        given["RAY_AUTH_TOKEN"] = _TOKEN
    ours = [name for name in (*given, "RAY_AUTH_MODE") if name not in os.environ]
    os.environ.update({name: value for name, value in given.items() if name in ours})
    handler = signal.getsignal(signal.SIGTERM)
    try:
        try:
            ray.init(address=address, **options)
        except ConnectionError as error:
            raise ConfigurationError(
                f"expected a Ray cluster at {address}, got none: {' '.join(str(error).split())}"
            ) from error
        yield ray
    finally:
        ray.shutdown()
        for name in ours:
            os.environ.pop(name, None)
        if handler is not None and current_thread() is main_thread():
            signal.signal(signal.SIGTERM, handler)  # Ray has put its own there
