"""How classifiers are called, and one view on what they return: a tensor of logits."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from bandlimiter.errors import InputError
from bandlimiter.tensors.device import first_float


def model_logits(model: nn.Module, x: torch.Tensor, *, check: bool = True) -> torch.Tensor:
    """Return a model's logits at x: the one place where classifiers are called.

    The model gets a copy of x, since some normalise their input in place, and what it returns is
    copied, since some write every answer into the same memory. So no caller's tensor changes and no
    answer depends on whether a model does so. Both copies are small beside a forward pass.

    Parameters
    ----------
    model
        Takes [N, ...] on the device of x; returns what `find_logits` reads.
    x
        [N, ...]; where it has a gradient, so have the logits. Cast to the model's dtype.
    check
        Whether to look at the values, for which a GPU has to wait. Without, call
        `require_no_overflow` once for many passes.

    Returns
    -------
    torch.Tensor
        [N, classes] in the model's own dtype.

    Raises
    ------
    InputError
        As `find_logits`; with ``check`` also as `require_no_overflow`.
    """
    own = first_float(model)
    logits = find_logits(model(x.to(x.dtype if own is None else own.dtype, copy=True))).clone()
    if check:
        require_no_overflow(logits)
    return logits


def logits_of(output: Any) -> torch.Tensor:
    """Return the logits [N, classes] in a model's output.

    Accepts a tensor; an object with ``.logits`` (Hugging Face); a mapping with the key
    ``"logits"``, or with one entry; a tuple or list whose first entry is the logits
    (torchvision's Inception in training mode, models with auxiliary heads).

    Raises
    ------
    InputError
        If no such tensor is there, if it is not two-dimensional with two columns or more,
        or if it holds NaN or +inf (-inf is a probability of zero).
    """
    logits = find_logits(output)
    require_no_overflow(logits)
    return logits


def find_logits(output: Any) -> torch.Tensor:
    """Return the logits [N, classes] in a model's output, as `logits_of`, with any values.

    Looks at no value, so that on a GPU nothing waits for the model.

    Raises
    ------
    InputError
        If no such tensor is there, or if it is not two-dimensional with two columns or more.
    """
    logits = _find(output)
    if not isinstance(logits, torch.Tensor) or logits.ndim != 2 or logits.shape[1] < 2:
        shape = tuple(logits.shape) if isinstance(logits, torch.Tensor) else None
        raise InputError(
            f"expected a model that returns logits of shape [N, classes], 2 or more, got "
            f"{type(output).__name__}{'' if shape is None else f' with shape {shape}'}; "
            "wrap the model in a module that returns its logits"
        )
    return logits


def require_no_overflow(logits: torch.Tensor) -> None:
    """Refuse (InputError) NaN and +inf among logits [N, classes], and rows of -inf alone.

    A single -inf is a probability of zero.
    """
    largest = logits.detach().amax(dim=1)  # NaN where one is NaN
    if not torch.isfinite(largest).all():
        raise InputError(
            "expected logits without NaN or +inf, and not all -inf, got some such; the model "
            "overflows on these inputs"
        )


def _find(output: Any) -> Any:
    if isinstance(output, torch.Tensor):
        return output
    if hasattr(output, "logits"):
        return output.logits
    if isinstance(output, Mapping):
        return next(iter(output.values())) if len(output) == 1 else output.get("logits")
    if isinstance(output, (tuple, list)) and output:
        return output[0]
    return None
