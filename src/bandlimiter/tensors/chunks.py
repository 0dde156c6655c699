"""Work cut into passes of bounded size, and cut smaller when memory runs out."""

import logging
from collections.abc import Callable
from typing import Literal

import torch

from bandlimiter.errors import BandlimiterError, ConfigurationError, InputError

logger = logging.getLogger(__name__)

# Under "auto": how many input numbers, and at the most how many inputs, go through the
# network at once. On a CPU more than fills the caches makes a network slower: a ResNet-56 on
# 32x32 images does 540 to 600 images a second at 32 to 91 per pass and 410 at 256, its compiled
# copy in bf16 is at its best from 128 on, an EfficientNet-Lite0 on 224x224 images does 72 at 5
# and 28 at 24 (two cores). A GPU needs more to be busy, and its memory must also hold a
# pass's activations for a gradient.
_AUTO_ELEMENTS = {"cpu": 3 * 2**18, "cuda": 3 * 2**21}
_AUTO_INPUTS = {"cpu": 2**7, "cuda": 2**14}


class ChunkLimit:
    """The largest number of inputs in one forward pass.

    Parameters
    ----------
    size
        A positive number of inputs, or ``"auto"``: chosen from the size of an input and
        the device, at each use.

    Raises
    ------
    ConfigurationError
        If ``size`` is neither ``"auto"`` nor a positive integer.
    """

    def __init__(self, size: int | Literal["auto"]) -> None:
        if size != "auto" and (not isinstance(size, int) or size < 1):
            raise ConfigurationError(
                f"expected chunk to be 'auto' or a positive number, got {size!r}"
            )
        self.size = size
        self._ceiling: int | None = None

    def resolve(self, x: torch.Tensor) -> int:
        """Return the limit for inputs like those of ``x``: [N, ...]."""
        size = _automatic(x) if self.size == "auto" else self.size
        return size if self._ceiling is None else min(size, self._ceiling)

    def halve(self, used: int) -> None:
        """Keep to half of ``used``, the size that did not fit, from now on, and log it."""
        self._ceiling = max(1, used // 2)
        logger.warning(
            "out of memory with %d inputs per pass; going on with %d", used, self._ceiling
        )


def map_chunks(
    function: Callable[[int, int], tuple[torch.Tensor, ...]],
    count: int,
    limit: ChunkLimit,
    like: torch.Tensor,
) -> tuple[torch.Tensor, ...]:
    """Concatenate what ``function(start, stop)`` returns over ranges that cover ``count`` inputs.

    The ranges have equal sizes up to one, none above the limit. Where a pass runs out of
    memory the limit is halved and the same range is tried again; a single input that does
    not fit raises the original error.

    Parameters
    ----------
    function
        Maps a half-open range of input numbers to tensors with one row per input.
    count
        Number of inputs, at least one.
    limit
        The bound, shared between calls so that what was learnt stays.
    like
        A batch of such inputs, to resolve ``"auto"``.

    Returns
    -------
    tuple of torch.Tensor
        As many as ``function`` returns, with ``count`` rows each.

    Raises
    ------
    InputError
        Where ``function`` fails on several inputs at once and on none of them alone.
    """
    parts: list[tuple[torch.Tensor, ...]] = []
    start = 0
    while start < count:
        passes = -(-(count - start) // limit.resolve(like))
        stop = start + -(-(count - start) // passes)
        failed = False
        try:
            parts.append(function(start, stop))
        except BandlimiterError:
            raise
        except Exception as error:
            if stop - start == 1:
                raise
            if not is_out_of_memory(error):
                _explain(error, function, start, stop)
                raise
            failed = True
        # Outside the handler: there the traceback still holds the tensors that did not fit.
        if failed:
            limit.halve(stop - start)
        else:
            start = stop
    return tuple(torch.cat(column) for column in zip(*parts, strict=True))


def _explain(
    error: Exception, function: Callable[[int, int], object], start: int, stop: int
) -> None:
    """Say (InputError) that several inputs at once are too many, where each alone is not."""
    try:
        for each in range(start, stop):
            function(each, each + 1)
    except Exception:  # noqa: BLE001  (a user's code may raise anything; the first error is told)
        return
    reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
    raise InputError(
        f"expected a model that takes {stop - start} inputs at once, it takes each alone and fails "
        f"on all ({reason}); give the most that it takes as PostAverage(..., chunk=N), or export "
        "or trace it with a batch of any size"
    ) from error


def _automatic(x: torch.Tensor) -> int:
    kind = "cuda" if x.device.type == "cuda" else "cpu"
    elements = max(1, x[:1].numel())
    return max(1, min(_AUTO_INPUTS[kind], _AUTO_ELEMENTS[kind] // elements))


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory ran out, on any device."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    text = str(error)
    return "DefaultCPUAllocator" in text or "CUDA out of memory" in text
