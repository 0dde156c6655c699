"""Gradients by inputs, of models that may have none: one error says so, whatever the reason."""

from collections.abc import Callable

import torch
from torch import nn

from bandlimiter.errors import BandlimiterError, ConfigurationError, NoGradientError
from bandlimiter.tensors.chunks import is_out_of_memory


def require_autograd() -> None:
    """Refuse (ConfigurationError) to go on inside `torch.inference_mode`, which no gradient leaves.

    `torch.enable_grad` undoes `torch.no_grad`, but not that.
    """
    if torch.is_inference_mode_enabled():
        raise ConfigurationError(
            "expected a call outside torch.inference_mode(), where no gradient can be computed; "
            "use torch.no_grad()"
        )


def usable(values: torch.Tensor) -> torch.Tensor:
    """Return values that autograd takes: a copy of those made inside `torch.inference_mode`."""
    return values.clone() if values.is_inference() else values


def with_graph(
    ask: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, model: nn.Module
) -> torch.Tensor:
    """Return ``ask(x)`` for an x that requires a gradient.

    Parameters
    ----------
    ask
        Asks ``model``: [N, ...] -> logits.
    x
        [N, ...], a leaf that requires a gradient.
    model
        Whose weights are looked at where that fails.

    Raises
    ------
    NoGradientError
        Where the model takes such inputs only without a gradient (``x.numpy()``, an inference
        copy). What it says of any input comes through as it is.
    ConfigurationError
        Where its weights were made inside `torch.inference_mode`.
    """
    try:
        return ask(x)
    except Exception as error:  # whatever a model says
        if _of_the_machine(error):
            raise
        with torch.no_grad():
            ask(x.detach())  # raises what has nothing to do with gradients
        _require_usable_weights(model)
        raise _no_gradient(error) from error


def slope(value: torch.Tensor, x: torch.Tensor, *, again: bool = False) -> torch.Tensor:
    """Return the gradient of a number by x [N, ...], which it was made from: like x.

    Parameters
    ----------
    value
        One number.
    x
        A leaf that requires a gradient.
    again
        Whether other gradients will be taken through the same graph.

    Raises
    ------
    NoGradientError
        Where nothing leads from one to the other that can be differentiated.
    """
    if not value.requires_grad:
        raise _no_gradient(None)
    try:
        # By x alone: whatever else requires a gradient keeps the one it has.
        (found,) = torch.autograd.grad(value, x, retain_graph=again, allow_unused=True)
    except Exception as error:  # as operations without a derivative do
        if _of_the_machine(error) or isinstance(error, BandlimiterError):
            raise
        raise _no_gradient(error) from error
    if found is None:  # the weights have gradients, and x has none
        raise _no_gradient(None)
    return found


def _no_gradient(error: Exception | None) -> NoGradientError:
    reason = "a forward under no_grad, a detour through numpy or integers, or a majority vote"
    if error is not None:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
    return NoGradientError(
        f"expected a model with a gradient for this attack, got one without ({reason}); only "
        "attacks that need none, such as square, work on it"
    )


def _of_the_machine(error: Exception) -> bool:
    """Whether an error is of memory or of a device, and says nothing of the model."""
    return isinstance(error, torch.AcceleratorError) or is_out_of_memory(error)


def _require_usable_weights(model: nn.Module) -> None:
    if any(tensor.is_inference() for tensor in (*model.parameters(), *model.buffers())):
        raise ConfigurationError(
            "expected a model whose weights allow gradients through them, got weights made inside "
            "torch.inference_mode(); build and load it outside, or attack copy.deepcopy(model)"
        )
