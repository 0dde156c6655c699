"""What every rival asks of its inputs, the same as the average does."""

import torch

from bandlimiter.errors import InputError
from bandlimiter.tensors import require_no_nan


def require_inputs(x: torch.Tensor) -> None:
    """Refuse (InputError) what is no batch [N, ...], an integer dtype, and NaN."""
    if x.ndim < 2 or len(x) == 0:
        raise InputError(f"expected a batch [N, ...] of inputs, got shape {tuple(x.shape)}")
    if not x.is_floating_point():
        raise InputError(
            f"expected floating point inputs, got {x.dtype}; divide 8-bit pixels by 255"
        )
    require_no_nan(x.detach(), "inputs")
