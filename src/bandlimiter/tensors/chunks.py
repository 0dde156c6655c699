"""Work cut into passes of bounded size, and cut smaller when memory runs out."""

import logging
from collections.abc import Callable
from typing import Literal

import torch

from bandlimiter.errors import ConfigurationError

logger = logging.getLogger(__name__)

# How many input numbers go through the network at once under "auto". Past this a CPU's
# caches overflow (ResNet-20 to ResNet-110 on 32x32 images are fastest at 100 to 400 images
# a pass); a GPU needs far more to be busy.
_AUTO_ELEMENTS = {"cpu": 3 * 2**18, "cuda": 3 * 2**24}


class ChunkLimit:
    """The largest number of inputs in one forward pass.

    Parameters
    ----------
    size
        A positive number of inputs, or ``"auto"``: chosen from the size of an input and
        the device at first use.

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
        self._size: int | Literal["auto"] = size

    def resolve(self, x: torch.Tensor) -> int:
        """Return the limit for inputs like those of ``x``: [N, ...]."""
        if isinstance(self._size, int):
            return self._size
        elements = max(1, x[:1].numel())
        budget = _AUTO_ELEMENTS.get(x.device.type, _AUTO_ELEMENTS["cpu"])
        size = max(1, budget // elements)
        self._size = size
        return size

    def halve(self, used: int) -> None:
        """Lower the limit to half of ``used``, the size that did not fit, and log it."""
        self._size = max(1, used // 2)
        logger.warning("out of memory with %d inputs a pass; going on with %d", used, self._size)


def map_chunks(
    function: Callable[[int, int], torch.Tensor], count: int, limit: ChunkLimit, like: torch.Tensor
) -> torch.Tensor:
    """Concatenate ``function(start, stop)`` over consecutive ranges that cover ``count`` inputs.

    The ranges have equal sizes up to one, none above the limit. Where a pass runs out of
    memory the limit is halved and the same range is tried again; a single input that does
    not fit raises the original error.

    Parameters
    ----------
    function
        Maps a half-open range of input numbers to a tensor with one row an input.
    count
        Number of inputs, at least one.
    limit
        The bound, shared between calls so that what was learnt stays.
    like
        A batch of such inputs, to resolve ``"auto"``.
    """
    parts: list[torch.Tensor] = []
    start = 0
    while start < count:
        passes = -(-(count - start) // limit.resolve(like))
        stop = start + -(-(count - start) // passes)
        failed = False
        try:
            parts.append(function(start, stop))
        except (torch.OutOfMemoryError, RuntimeError, MemoryError) as error:
            if stop - start == 1 or not _is_out_of_memory(error):
                raise
            failed = True
        # Outside the handler: there the traceback still holds the tensors that did not fit.
        if failed:
            limit.halve(stop - start)
        else:
            start = stop
    return torch.cat(parts)


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    text = str(error)
    return "DefaultCPUAllocator" in text or "CUDA out of memory" in text
