"""What becomes of a piece of work: done, raised, its worker died, or the run cannot go on."""

import traceback
from collections.abc import Callable
from dataclasses import dataclass

import torch

from bandlimiter import errors
from bandlimiter.errors import ConfigurationError, MissingExtraError, NoGradientError
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
_KNOWN = {
    kind.__name__: kind
    for kind in (
        *(kind for kind in vars(errors).values() if isinstance(kind, type)),
        *(MemoryError, torch.OutOfMemoryError, KeyboardInterrupt, OSError),
    )
}


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
    building
        Whether it had not got so far as to work on anything.
    """

    how: str
    building: bool = False


@dataclass(frozen=True)
class Stopped:
    """An exception that ends the run; as text, since not every exception can be sent."""

    kinds: tuple[str, ...]
    error: str
    trace: str

    @classmethod
    def of(cls, error: BaseException) -> "Stopped":
        """Describe an exception."""
        kinds = tuple(kind.__name__ for kind in type(error).__mro__)
        trace = "".join(traceback.format_exception(error))
        return cls(kinds, " ".join(str(error).split()), trace)

    def exception(self) -> BaseException:
        """Return the exception again, with the worker's trace as a note.

        One of a kind that is neither ours nor Python's is a `ConfigurationError`.
        """
        kind = next((_KNOWN[name] for name in self.kinds if name in _KNOWN), None)
        found = (
            ConfigurationError(
                f"expected models and images that a worker can load, got {self.kinds[0]}: "
                f"{self.error}; one worker in this process may do"
            )
            if kind is None
            else kind(self.error)
        )
        found.add_note(f"In the worker:\n{self.trace}")
        return found


Outcome = ShardResult | Raised | Died | Stopped


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


def trying(work: Callable[[], Outcome | None]) -> Outcome | None:
    """Return what work returns; what it raises, as `Stopped`."""
    try:
        return work()
    except BaseException as error:  # noqa: BLE001  (it travels to the driver)
        return Stopped.of(error)


def said(error: BaseException) -> str:
    """Return an exception's kind and message in one line of some hundred characters."""
    text = printable(" ".join(f"{type(error).__name__}: {error}".split()))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."
