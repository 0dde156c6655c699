"""One affine operation of PyTorch, kept so that it can be done again on other inputs."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.utils._pytree import tree_map

from bandlimiter.geometry.graph.convolution import convolution

aten = torch.ops.aten


@dataclass(frozen=True)
class Slot:
    """Stands for the step's source number ``index`` among a call's arguments."""

    index: int


@dataclass(frozen=True)
class PerInput:
    """A constant that a forward made once for each input of the batch, all alike."""

    row: torch.Tensor
    """[1, ...]"""


@dataclass(frozen=True)
class Call:
    """A function that is affine in its slots together; everything else is constant.

    Attributes
    ----------
    function
        An ATen operation, or a function of ours.
    args, kwargs
        Its arguments, with `Slot` where the sources go.
    pick
        Which of several results is meant.
    """

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    pick: int | None = None

    def __call__(self, *sources: torch.Tensor) -> torch.Tensor:
        """Apply to batches [N, ...]."""

        def fill(part: Any) -> Any:
            if isinstance(part, Slot):
                return sources[part.index]
            if isinstance(part, PerInput):
                return part.row.expand(len(sources[0]), *part.row.shape[1:])
            return part

        # Nested lists (of concatenations) are the only containers among arguments.
        args, kwargs = tree_map(fill, (self.args, self.kwargs))
        result = _FASTER.get(self.function, self.function)(*args, **kwargs)
        value: torch.Tensor = result if self.pick is None else result[self.pick]
        return value

    @property
    def linear(self) -> "Call":
        """The same without its constant terms, exactly: what it does to differences."""
        args = list(self.args)
        if self.function in _CONSTANT_TERMS:
            for position, nothing in _CONSTANT_TERMS[self.function].items():
                if position < len(args):
                    args[position] = _emptied(args[position], nothing)
        for position in _SUMS.get(self.function, ()):
            args[position] = tree_map(_zero_constant, args[position])
        return replace(self, args=tuple(args))

    @property
    def absolute(self) -> "Call":
        """The same with every constant's modulus and no differences: |call(x)| <= absolute(|x|)."""

        def modulus(part: Any) -> Any:
            if isinstance(part, PerInput):
                return PerInput(part.row.abs())
            if isinstance(part, torch.Tensor) and part.is_floating_point():
                return part.abs()
            return part

        args, kwargs = tree_map(modulus, (self.args, self.kwargs))
        if self.function in _ARITHMETIC:
            args = tuple(_positive(part) for part in args)
            kwargs = {name: _positive(part) for name, part in kwargs.items()}
        if self.function in _NORMS:  # x - mean is a difference
            args = (*args[:3], -args[3], *args[4:])
        return Call(_AS_SUMS.get(self.function, self.function), args, kwargs, self.pick)

    def to(self, device: torch.device, dtype: torch.dtype) -> "Call":
        """Return the call with its constants moved and cast."""

        def move(part: Any) -> Any:
            if isinstance(part, PerInput):
                return PerInput(part.row.to(device, dtype))
            if isinstance(part, torch.Tensor):
                return part.to(device, dtype if part.is_floating_point() else part.dtype)
            return part

        args, kwargs = tree_map(move, (self.args, self.kwargs))
        return replace(self, args=args, kwargs=kwargs)


def reshaped(x: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """Arrange each input's numbers in another shape: views state the batch, we must not."""
    return x.reshape(len(x), *shape)


def expanded(x: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """Repeat along axes of length one."""
    return x.expand(len(x), *shape)


_FASTER: dict[Callable[..., Any], Callable[..., Any]] = {aten.convolution.default: convolution}

_KEEP = object()
_CONSTANT_TERMS: dict[Callable[..., Any], dict[int, Any]] = {
    aten.addmm.default: {0: _KEEP},
    aten.convolution.default: {2: None},
    # Arguments 2 and 3: bias and running mean.
    aten.native_batch_norm.default: {2: None, 3: _KEEP},
    aten._native_batch_norm_legit_no_training.default: {2: None, 3: _KEEP},
    aten.constant_pad_nd.default: {2: 0.0},
}
_SUMS: dict[Callable[..., Any], tuple[int, ...]] = {
    aten.add.Tensor: (0, 1),
    aten.add.Scalar: (0, 1),
    aten.sub.Tensor: (0, 1),
    aten.sub.Scalar: (0, 1),
    aten.rsub.Scalar: (0, 1),
    aten.cat.default: (0,),
    aten.stack.default: (0,),
}
"""Which arguments are summed or put together: what is constant among them falls away."""


def _reversed_sum(x: torch.Tensor, other: Any, alpha: Any = 1) -> torch.Tensor:
    total: torch.Tensor = other + alpha * x
    return total


def _bicubic_moduli(x: torch.Tensor, size: Any, *rest: Any) -> torch.Tensor:
    """Weights of a bicubic interpolation are of both signs; their moduli sum to 1.375 squared."""
    return 2 * x.amax((2, 3), keepdim=True).expand(-1, -1, *size)


_NORMS = (aten.native_batch_norm.default, aten._native_batch_norm_legit_no_training.default)

_AS_SUMS: dict[Callable[..., Any], Callable[..., Any]] = {
    aten.sub.Tensor: aten.add.Tensor,
    aten.sub.Scalar: aten.add.Scalar,
    aten.rsub.Scalar: _reversed_sum,
    aten.neg.default: aten.alias.default,
    aten.upsample_bicubic2d.default: _bicubic_moduli,
}
_ARITHMETIC = {
    aten.add.Tensor,
    aten.sub.Tensor,
    aten.add.Scalar,
    aten.sub.Scalar,
    aten.rsub.Scalar,
    aten.mul.Tensor,
    aten.mul.Scalar,
    aten.div.Tensor,
    aten.div.Scalar,
    aten.constant_pad_nd.default,
}
"""Where plain numbers are factors, terms or fillings, and not axes or sizes; those in lists
say how much is padded."""


def _emptied(argument: Any, nothing: Any) -> Any:
    return torch.zeros_like(argument) if nothing is _KEEP else nothing


def _zero_constant(part: Any) -> Any:
    if isinstance(part, PerInput):
        return PerInput(torch.zeros_like(part.row))
    if isinstance(part, torch.Tensor):
        return torch.zeros_like(part)
    return 0 if isinstance(part, (int, float)) else part


def _positive(part: Any) -> Any:
    return abs(part) if isinstance(part, (int, float)) else part
