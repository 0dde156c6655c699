"""Labels as other libraries hand them over: indices, one-hot rows or probabilities, of any kind."""

from collections.abc import Sequence
from typing import Any

import torch
from numpy.typing import NDArray

from bandlimiter.errors import InputError
from bandlimiter.tensors import require_labels

Array = NDArray[Any] | torch.Tensor


def read_labels(label: int | Sequence[int] | Array, count: int, classes: int) -> torch.Tensor:
    """Read class indices, one for all images or one for each: [count] int64.

    Raises
    ------
    InputError
        (a ValueError) for labels of another form or out of range.
    """
    given = torch.as_tensor(label)
    return require_labels(given.expand(count) if given.ndim == 0 else given, count, classes)


def read_targets(y: Array, count: int, classes: int) -> torch.Tensor:
    """Read what a cross-entropy takes: indices [count], or probabilities [count, classes].

    Returns
    -------
    torch.Tensor
        int64 indices, or the rows in float64.

    Raises
    ------
    InputError
        (a ValueError) for labels of another form or out of range.
    """
    given = torch.as_tensor(y)
    if given.ndim != 2:
        return read_labels(given, count, classes)
    if given.shape != (count, classes):
        raise InputError(
            f"expected labels [{count}] or [{count}, {classes}], got shape {tuple(given.shape)}"
        )
    return given.double()
