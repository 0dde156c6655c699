"""Ray: actors that hold a worker, one shard in flight each, none queued."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from bandlimiter.errors import ConfigurationError
from bandlimiter.evaluation.executors.outcomes import Died, Outcome, Raised, said
from bandlimiter.evaluation.executors.packing import pack, require_positive
from bandlimiter.evaluation.executors.ray_session import ray_session
from bandlimiter.evaluation.executors.ray_worker import RayWorker
from bandlimiter.evaluation.executors.worker import Worker
from bandlimiter.evaluation.executors.worker_pool import Place, Task

_TICK = 1.0  # seconds between looks at signals


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
        The cluster's; None for Ray on this machine alone.
    num_gpus
        GPUs that an actor asks for; may be a fraction.
    """

    workers: int = 2
    threads: int = 1
    address: str | None = None
    num_gpus: float = 0.0

    def __post_init__(self) -> None:
        require_positive(workers=self.workers, threads=self.threads)
        if self.num_gpus < 0:
            raise ConfigurationError(f"expected no less than 0 GPUs a worker, got {self.num_gpus}")

    @contextmanager
    def pool(self, worker: Worker, shards: int) -> "Iterator[RayPool]":
        """See `Executor`."""
        workers = min(self.workers, shards)
        with ray_session(self.address, workers * self.threads) as ray:
            self._require_room(ray)
            actor = ray.remote(
                num_cpus=self.threads, num_gpus=self.num_gpus, max_restarts=0, max_task_retries=0
            )(RayWorker)
            pool = RayPool(ray, actor, pack(worker, ray.cloudpickle.dumps), workers, self.threads)
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


class RayPool:
    """Actors, started at once, and anew after a death.

    Parameters
    ----------
    ray
        The module, connected.
    actor
        `RayWorker` as Ray's class.
    packed
        The worker.
    workers, threads
        See `RayCluster`.
    """

    isolates = True

    def __init__(self, ray: Any, actor: Any, packed: bytes, workers: int, threads: int) -> None:
        self._ray, self._actor, self._threads = ray, actor, threads
        self._packed = ray.put(packed)
        self._idle: list[Any] = []
        self._flights: dict[Any, tuple[Any, Task | None]] = {}
        for _ in range(workers):
            self._start()

    @property
    def free(self) -> bool:
        """Whether an actor is ready and has nothing to do."""
        return bool(self._idle)

    def submit(self, task: Task) -> None:
        """Give a task to an idle actor."""
        actor = self._idle.pop()
        method = actor.do_alone if task.place is Place.ALONE else actor.do
        self._flights[method.remote(task.shard)] = (actor, task)

    def wait(self) -> Sequence[tuple[Task | None, Outcome]]:
        """Wait for an actor to answer or to die."""
        ended: list[tuple[Task | None, Outcome]] = []
        ready, _ = self._ray.wait(list(self._flights), timeout=_TICK)
        for flight in ready:
            actor, task = self._flights.pop(flight)
            outcome, usable = self._land(flight, task)
            if usable:
                self._idle.append(actor)
            else:
                self._ray.kill(actor)
                self._start()
            if outcome is not None:
                ended.append((task, outcome))
        return ended

    def close(self) -> None:
        """Kill all actors."""
        for actor in [*self._idle, *(actor for actor, _ in self._flights.values())]:
            self._ray.kill(actor)

    def _start(self) -> None:
        actor = self._actor.remote(self._packed, self._threads)
        self._flights[actor.build.remote()] = (actor, None)

    def _land(self, flight: Any, task: Task | None) -> tuple[Outcome | None, bool]:
        """Return what came, and whether the actor is still of use."""
        try:
            outcome = self._ray.get(flight)
        except self._ray.exceptions.RayTaskError as error:
            if task is None:
                raise
            return Raised(said(error)), True  # what it gave could not be sent
        except self._ray.exceptions.RayError as error:
            return Died(f"was lost: {said(error)}", building=task is None), False
        alone = task is not None and task.place is Place.ALONE
        return outcome, alone or not isinstance(outcome, Died)
