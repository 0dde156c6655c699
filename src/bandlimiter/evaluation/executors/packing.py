"""A worker as bytes, for workers in other processes; and numbers that must make sense."""

import pickle
from collections.abc import Callable
from typing import Any

from bandlimiter.errors import ConfigurationError
from bandlimiter.evaluation.executors.worker import Worker


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
