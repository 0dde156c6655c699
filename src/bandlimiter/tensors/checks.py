"""Checks on what users hand in; each failure is an `InputError` that says what came."""

import torch

from bandlimiter.errors import InputError


def require_images(images: torch.Tensor) -> None:
    """Refuse an empty batch, NaN, and pixels outside [0, 1].

    Parameters
    ----------
    images
        [N, ...] floating point, pixels.

    Raises
    ------
    InputError
        (a ValueError) naming the range that came.
    """
    if images.numel() == 0:
        raise InputError("expected at least one image, got none")
    if not images.is_floating_point():
        raise InputError(f"expected floating point pixels in [0, 1], got {images.dtype}")
    require_no_nan(images, "images")
    low, high = float(images.min()), float(images.max())
    if low < 0 or high > 1:
        raise InputError(
            f"expected pixels in [0, 1], got values from {low:.4g} to {high:.4g}; divide 8-bit "
            "images by 255 and leave normalisation to the model"
        )


def require_inputs(x: torch.Tensor) -> None:
    """Refuse (InputError) what is no batch [N, ...], an integer dtype, and NaN; any range goes."""
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


def require_labels(labels: torch.Tensor, count: int, classes: int) -> None:
    """Refuse labels that are not one class index in [0, classes) an image."""
    if labels.shape != (count,):
        raise InputError(f"expected {count} labels, got shape {tuple(labels.shape)}")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        raise InputError(
            f"expected labels from 0 to {classes - 1}, as the model has {classes} outputs; "
            f"got labels from {low} to {high}"
        )
