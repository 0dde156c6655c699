"""Executors by name, with numbers of workers and threads that suit this machine."""

import os
import sys

import torch

from bandlimiter.errors import ConfigurationError
from bandlimiter.evaluation.executors.in_process import InProcess
from bandlimiter.evaluation.executors.packing import require_positive
from bandlimiter.evaluation.executors.processes import Processes
from bandlimiter.evaluation.executors.ray_cluster import RayCluster
from bandlimiter.evaluation.executors.ray_session import import_ray
from bandlimiter.evaluation.executors.worker_pool import Executor

EXECUTORS = ("local", "processes", "ray")


def build_executor(
    name: str = "local",
    workers: int | None = None,
    threads: int | None = None,
    address: str | None = None,
    num_gpus: float = 0.0,
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
        Of ``ray``; see `RayCluster`.

    Raises
    ------
    ConfigurationError
        For other names, numbers below one, or options that do not fit together.
    MissingExtraError
        Where Ray is asked for and not installed.

    Examples
    --------
    >>> build_executor("processes", workers=2, threads=1)
    Processes(workers=2, threads=1)
    """
    if name not in EXECUTORS:
        raise ConfigurationError(f"expected one of {', '.join(EXECUTORS)}, got {name!r}")
    if name != "ray" and (address is not None or num_gpus):
        raise ConfigurationError(
            f"expected an address and GPUs with ray alone, got them with {name}"
        )
    require_positive(workers=1 if workers is None else workers)
    require_positive(threads=1 if threads is None else threads)
    if name == "local" and (workers or 1) == 1:
        return InProcess(torch.get_num_threads() if threads is None else threads)
    if address is not None:
        if workers is None:
            raise ConfigurationError("expected a number of workers with an address")
        crowd = (workers, threads or 1)
    else:
        crowd = _share(workers, threads)
    if name != "ray":
        return Processes(*crowd)
    import_ray()  # says now that it is missing, and not after models are loaded
    return RayCluster(*crowd, address, num_gpus)


def _share(workers: int | None, threads: int | None) -> tuple[int, int]:
    cores = _cores()
    if workers is None:
        workers = max(1, cores // (threads or 1))
    return workers, threads or max(1, cores // workers)


def _cores() -> int:
    """Return how many this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
