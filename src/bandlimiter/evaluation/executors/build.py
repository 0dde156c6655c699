"""Executors by name, with numbers of workers and threads that suit this machine."""

import os
from collections.abc import Sequence

import torch

from bandlimiter.errors import ConfigurationError
from bandlimiter.evaluation.executors.in_process import InProcess
from bandlimiter.evaluation.executors.pool import Executor, require_positive
from bandlimiter.evaluation.executors.processes import Processes
from bandlimiter.evaluation.executors.ray_cluster import LOCAL, RayCluster, import_ray

EXECUTORS = ("local", "processes", "ray")


def build_executor(
    name: str = "local",
    workers: int | None = None,
    threads: int | None = None,
    address: str | None = None,
    num_gpus: float = 0.0,
    devices: Sequence[str] = (),
) -> Executor:
    """Return an executor.

    Parameters
    ----------
    name
        ``local`` (this process; several processes where ``workers`` says so), ``processes`` or
        ``ray``.
    workers
        Where omitted: as many as the machine's cores hold, each with ``threads``; a cluster's
        cores are not known here, so give it with ``address``.
    threads
        Of each worker. Where omitted: torch's for ``local``; else all cores divided by
        ``workers``, and one on a cluster.
    address, num_gpus
        Of ``ray``, which needs an address; see `RayCluster`.
    devices
        Of processes, one worker for each where ``workers`` is omitted; see `Processes`.

    Raises
    ------
    ConfigurationError
        For other names, numbers below one, or options that do not fit together.
    MissingExtraError
        Where Ray is asked for and not installed.

    Examples
    --------
    >>> build_executor("processes", workers=2, threads=1)
    Processes(workers=2, threads=1, devices=())
    """
    if name not in EXECUTORS:
        raise ConfigurationError(f"expected one of {', '.join(EXECUTORS)}, got {name!r}")
    if name != "ray" and (address is not None or num_gpus):
        raise ConfigurationError(
            f"expected an address and GPUs with ray alone, got them with {name}"
        )
    if name == "ray" and (address is None or devices):
        raise ConfigurationError(
            "expected an address with ray, of a cluster, auto or local, and no devices"
        )
    require_positive(workers=1 if workers is None else workers)
    require_positive(threads=1 if threads is None else threads)
    if devices:
        workers = len(devices) if workers is None else workers
    elif name == "local" and (workers or 1) == 1:
        return InProcess(torch.get_num_threads() if threads is None else threads)
    if address is None:
        return Processes(*_share(workers, threads), tuple(devices))
    import_ray()  # says now that it is missing, and not after models are loaded
    if address == LOCAL:
        return RayCluster(*_share(workers, threads), address, num_gpus)
    if workers is None:
        raise ConfigurationError("expected a number of workers with an address")
    return RayCluster(workers, threads or 1, address, num_gpus)


def _share(workers: int | None, threads: int | None) -> tuple[int, int]:
    cores = _cores()
    if workers is None:
        workers = max(1, cores // (threads or 1))
    return workers, threads or max(1, cores // workers)


def _cores() -> int:
    """Return how many this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
