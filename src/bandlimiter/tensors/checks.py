"""Checks on what users hand in; each failure is an `InputError` that says what came."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from bandlimiter.errors import InputError

# Pixels that were normalised and back, or resized in floating point, have gone through a few
# roundings in float32; in less precision one alone is larger.
_FEW_ROUNDINGS = 4 * torch.finfo(torch.float32).eps


def is_number(value: object) -> bool:
    """Whether a setting is one real number: Python's, numpy's, or a tensor of one."""
    if isinstance(value, torch.Tensor):
        return value.numel() == 1 and not value.is_complex() and value.dtype != torch.bool
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def require_images(images: torch.Tensor) -> torch.Tensor:
    """Return pixels with what rounding put outside [0, 1] put back; refuse what is no pixel.

    Parameters
    ----------
    images
        [N, ...] floating point, pixels; not changed.

    Returns
    -------
    torch.Tensor
        The same, or a clipped copy where values lie outside by no more than rounding: one step
        of their dtype at 1, or four of float32 where that is more.

    Raises
    ------
    InputError
        (a ValueError) for an empty batch, another dtype, NaN, and pixels outside [0, 1], naming
        the range that came.

    Examples
    --------
    >>> require_images(torch.tensor([[0.5, 1 + 2**-23]])).tolist()
    [[0.5, 1.0]]
    """
    if images.numel() == 0:
        raise InputError("expected at least one image, got none")
    if not images.is_floating_point():
        raise InputError(f"expected floating point pixels in [0, 1], got {images.dtype}")
    require_no_nan(images, "images")
    images = clip_rounding(images)
    low, high = float(images.min()), float(images.max())
    if low < 0 or high > 1:
        outside = (images < 0) | (images > 1)
        first = int(outside.flatten(1).any(dim=1).nonzero()[0]) if images.ndim > 1 else 0
        raise InputError(
            f"expected pixels in [0, 1], got values from {low:.9g} to {high:.9g}, "
            f"{int(outside.sum())} of {images.numel()} outside, the first in image {first} of the "
            "batch; divide 8-bit images by 255 and leave normalisation to the model"
        )
    return images


def clip_rounding(images: torch.Tensor) -> torch.Tensor:
    """Return floating point images, with those values clipped that rounding put outside [0, 1]."""
    if images.numel() == 0 or (images.min() >= 0 and images.max() <= 1):
        return images
    slack = max(torch.finfo(images.dtype).eps, _FEW_ROUNDINGS)
    near = (images >= -slack) & (images <= 1 + slack)
    return torch.where(near, images.clamp(0, 1), images)


def require_inputs(x: torch.Tensor) -> None:
    """Refuse (InputError) what is no batch [N, ...], an integer dtype, and NaN; any range goes."""
    if not isinstance(x, torch.Tensor):
        raise InputError(
            f"expected a tensor [N, ...] of inputs, got {type(x).__name__}; make one of it with "
            "torch.as_tensor, and take a loader's batches one by one"
        )
    if x.ndim < 2 or len(x) == 0:
        raise InputError(f"expected a batch [N, ...] of inputs, got shape {tuple(x.shape)}")
    if not x.is_floating_point():
        raise InputError(
            f"expected floating point inputs, got {x.dtype}; divide 8-bit pixels by 255"
        )
    require_no_nan(x.detach(), "inputs")


def require_no_nan(values: torch.Tensor, what: str) -> None:
    """Refuse NaN in ``values``; ``what`` names them in the message."""
    if torch.isnan(values).any():
        raise InputError(f"expected {what} without NaN, got {int(torch.isnan(values).sum())} NaN")


def as_labels(labels: torch.Tensor | Sequence[int] | Any) -> torch.Tensor:
    """Return class indices as int64: [N].

    Floating point numbers do where they are whole, such as 3.0.

    Raises
    ------
    InputError
        (a ValueError) for another shape, one-hot rows among them, truth values, and numbers that
        are not whole.

    Examples
    --------
    >>> as_labels([3.0, 0.0])
    tensor([3, 0])
    """
    try:
        given = torch.as_tensor(labels)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"expected labels as whole numbers [N], got {error}") from None
    if given.ndim != 1:
        raise InputError(
            f"expected labels [N], one class index each, got shape {tuple(given.shape)}"
            + ("; of one-hot rows take .argmax(dim=1)" if given.ndim == 2 else "")
        )
    if given.dtype == torch.bool or given.is_complex():
        raise InputError(f"expected labels as whole numbers, got {given.dtype}; take .long()")
    whole = given.to(torch.int64)
    if given.is_floating_point() and not torch.equal(whole.to(given.dtype), given):
        odd = given[whole.to(given.dtype) != given][0]
        raise InputError(f"expected labels as whole numbers, got {float(odd):g} among them")
    return whole


def require_labels(labels: torch.Tensor, count: int, classes: int) -> torch.Tensor:
    """Return labels as int64; refuse what is not one class index in [0, classes) per image."""
    labels = as_labels(labels)
    if labels.shape != (count,):
        raise InputError(f"expected {count} labels, got shape {tuple(labels.shape)}")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        raise InputError(
            f"expected labels from 0 to {classes - 1}, as the model has {classes} outputs; "
            f"got labels from {low} to {high}"
        )
    return labels
