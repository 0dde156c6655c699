"""The layers that are affine or piecewise linear, and what each of them computes."""

from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from typing_extensions import TypeIs

from bandlimiter.errors import ConfigurationError
from bandlimiter.geometry.activation import Activation, hardtanh, leaky

Array = NDArray[np.float64]
M = TypeVar("M", bound=nn.Module)

KNOWN = (
    "Linear, ReLU, LeakyReLU, Hardtanh, ReLU6, BatchNorm1d, Flatten, Dropout, Identity and "
    "residual sums"
)


def affine_of(layer: nn.Module, name: str) -> tuple[Array, Array] | None:
    """Return the weight [out, in] and bias [out] of an affine layer, None for another one.

    Raises
    ------
    ConfigurationError
        For a BatchNorm1d in training mode or without running statistics.
    """
    if does(layer, nn.Linear):
        weight = _numpy(layer.weight)
        bias: torch.Tensor | None = layer.bias
        return weight, np.zeros(len(weight)) if bias is None else _numpy(bias)
    if does(layer, nn.BatchNorm1d):
        return _batch_norm(layer, name)
    return None


def activation_of(layer: nn.Module) -> Activation | None:
    """Return the activation that a layer applies, None if it applies none that is known."""
    if does(layer, nn.ReLU):
        return leaky(0.0)
    if does(layer, nn.LeakyReLU):
        return leaky(layer.negative_slope)
    if does(layer, nn.Hardtanh) or does(layer, nn.ReLU6):
        return hardtanh(layer.min_val, layer.max_val)
    return None


def changes_nothing(layer: nn.Module, name: str) -> bool:
    """Whether a layer passes points [N, n] on as they are.

    Raises
    ------
    ConfigurationError
        For a Dropout in training mode.
    """
    if does(layer, nn.Dropout) and layer.training and layer.p > 0:
        raise _not_evaluating("Dropout", name)
    return does(layer, nn.Dropout) or does(layer, nn.Flatten) or does(layer, nn.Identity)


def does(layer: nn.Module, kind: type[M]) -> TypeIs[M]:
    """Whether a layer does what ``kind`` does: a subclass may have a forward of its own."""
    return isinstance(layer, kind) and type(layer).forward is kind.forward


def require_own_forward(layer: nn.Module, name: str) -> None:
    """Refuse a module whose result is not its class's forward's: with hooks, or patched."""
    # Private in name only: torch offers no other way to ask.
    hooked = layer._forward_hooks or layer._forward_pre_hooks
    if hooked or "forward" in vars(layer):
        raise ConfigurationError(
            f"expected layers without hooks, but {name or type(layer).__name__} has some: what "
            "they do to its output cannot be read; remove them, or put it into layers"
        )


def unknown(kind: Any, name: str) -> ConfigurationError:
    """Return the error that names a layer that is not known."""
    return ConfigurationError(
        f"expected a piecewise linear network of {KNOWN}; got {kind} (layer {name or 'given'})"
    )


def _batch_norm(layer: nn.BatchNorm1d, name: str) -> tuple[Array, Array]:
    if layer.training or layer.running_mean is None or layer.running_var is None:
        raise _not_evaluating("BatchNorm1d", name)
    scale = 1 / np.sqrt(_numpy(layer.running_var) + layer.eps)
    bias = np.zeros_like(scale)
    if layer.affine:
        scale, bias = scale * _numpy(layer.weight), _numpy(layer.bias)
    return np.diag(scale), bias - _numpy(layer.running_mean) * scale


def _not_evaluating(kind: str, name: str) -> ConfigurationError:
    return ConfigurationError(
        f"expected {kind} ({name or 'the network'}) in evaluation mode with fixed statistics: "
        "in training it is no piecewise linear function; call .eval() first"
    )


def _numpy(tensor: torch.Tensor) -> Array:
    return tensor.detach().to("cpu", torch.float64).numpy().copy()
