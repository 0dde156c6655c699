"""What becomes of a shard: a result, an exception that concerns its images, or its worker's death.

Any other exception ends the run, and is raised.
"""

import pickle
from dataclasses import dataclass

import torch

from bandlimiter.errors import (
    BandlimiterError,
    ConfigurationError,
    MissingExtraError,
    NoGradientError,
)
from bandlimiter.evaluation.executors.worker import Worker
from bandlimiter.results.files import printable
from bandlimiter.results.runs import Shard, ShardResult

_LONGEST = 400

# What no other image would fare better with.
_WHOLE_RUN = (
    ConfigurationError,
    NoGradientError,
    MissingExtraError,
    MemoryError,
    torch.OutOfMemoryError,
)


@dataclass(frozen=True)
class Raised:
    """Work ended in an exception that concerns its images."""

    error: str


@dataclass(frozen=True)
class Died:
    """A worker's process ended, or is of no use any more.

    Attributes
    ----------
    how
        In words: ``ended by SIGKILL``.
    blameless
        Whether what it worked on cannot be the reason.
    """

    how: str
    blameless: bool = False


Outcome = ShardResult | Raised | Died


def attempt(worker: Worker, shard: Shard) -> Outcome:
    """Do a shard; what ends the whole run is raised."""
    try:
        return worker.do(shard)
    except _WHOLE_RUN:
        raise
    except torch.AcceleratorError as error:
        return Died(said(error))  # this process gets no answer from the device any more
    except (Exception, SystemExit) as error:  # models raise whatever they like
        if "DefaultCPUAllocator" in str(error):  # how torch says MemoryError
            raise MemoryError(said(error)) from error
        return Raised(said(error))


def unpack_and_start(packed: bytes) -> Worker:
    """Unpack and start a worker; raise only what travels between processes."""
    try:
        worker: Worker = pickle.loads(packed)  # noqa: S301  (the driver's own)
        worker.start()
    except (BandlimiterError, MemoryError, torch.OutOfMemoryError):
        raise
    except OSError as error:  # those of other packages are not always fit to travel
        raise OSError(error.errno, error.strerror or str(error)) from None
    except (Exception, SystemExit) as error:  # noqa: BLE001  (models raise whatever they like)
        raise ConfigurationError(
            f"expected models and images that a worker can load, got {said(error)}; one worker in "
            "this process may do"
        ) from None
    return worker


def said(error: BaseException) -> str:
    """Return an exception's kind and message in one line of some hundred characters."""
    text = printable(" ".join(f"{type(error).__name__}: {error}".split()))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."
