"""Reads a PyTorch module as affine pieces; whatever is none is refused by name."""

import operator
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx, nn
from torch.nn import functional as F
from typing_extensions import override

from bandlimiter.errors import ConfigurationError
from bandlimiter.geometry.activation import Activation, hardtanh, leaky
from bandlimiter.geometry.layers import (
    KNOWN,
    activation_of,
    affine_of,
    changes_nothing,
    does,
    require_own_forward,
    unknown,
)
from bandlimiter.geometry.network import Affine, Bend, PiecewiseLinear, Step, Sum

Array = NDArray[np.float64]

_SUMS = (operator.add, operator.iadd, torch.add, "add", "add_")
_FLATTEN = (torch.flatten, "flatten")
_ACTIVATIONS: dict[Any, Callable[..., Activation]] = {
    **dict.fromkeys((F.relu, torch.relu, torch.relu_, "relu", "relu_"), lambda *_: leaky(0.0)),
    F.leaky_relu: lambda negative_slope=0.01, *_: leaky(negative_slope),
    F.hardtanh: lambda min_val=-1.0, max_val=1.0, *_: hardtanh(min_val, max_val),
    F.relu6: lambda *_: hardtanh(0.0, 6.0),
}


def read_network(module: nn.Module | PiecewiseLinear, dim: int | None = None) -> PiecewiseLinear:
    """Read a network of points [N, n] as affine pieces in float64.

    Parameters
    ----------
    module
        Made of Linear, ReLU, LeakyReLU, Hardtanh, ReLU6, BatchNorm1d, Flatten, Dropout and
        Identity, in any nesting of ``nn.Sequential`` and of modules whose ``forward`` calls
        such layers, their functional forms, and sums (residual connections). In evaluation
        mode. It is not changed; its weights are read to the CPU.
    dim
        n, for a network in which no layer states it.

    Returns
    -------
    PiecewiseLinear
        The same function. Layers are numbered in the order of evaluation.

    Raises
    ------
    ConfigurationError
        (a ValueError) for any other layer, named in the message; for one in training mode;
        for weights that are NaN or infinite; for widths that do not fit.
    """
    if isinstance(module, PiecewiseLinear):
        return module
    reader = _Reader(_UNKNOWN)
    result = reader.read(module, "", 0)
    if _UNKNOWN in reader.width.values():  # something came before the first affine layer
        width = reader.inputs or dim
        if width is None:
            raise ConfigurationError(
                "expected a network with at least one Linear layer, found none"
            )
        reader = _Reader(width)
        result = reader.read(module, "", 0)
    return PiecewiseLinear(tuple(reader.steps), reader.width[0], reader.width[result], result)


_UNKNOWN = 0
"""The width of what is as wide as the input, until that is known."""


class _Tensor(fx.Proxy):
    """Stands for a tensor while a forward is traced; unlike fx's own, it knows +=."""

    def __iadd__(self, other: Any) -> fx.Proxy:
        return self.tracer.create_proxy("call_function", operator.iadd, (self, other), {})


class _Whole(fx.Tracer):
    """Traces one module's own forward; its children stay whole, and are read in their turn."""

    @override
    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Tensor(node, self)

    @override
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return True


class _Reader:
    """Turns modules into steps, a register for each value."""

    def __init__(self, dim: int) -> None:
        self.steps: list[Step] = []
        self.width = {0: dim}
        self.inputs: int | None = None
        self._bits = 0
        self._names: Counter[str] = Counter()
        # In-place layers change a tensor for all who hold it: old register -> new one.
        self._overwritten: dict[int, int] = {}

    def read(self, module: nn.Module, name: str, source: int) -> int:
        """Append the steps of ``module`` applied to a register; return the result's."""
        require_own_forward(module, name)
        if does(module, nn.Sequential):
            # Not named_children, which leaves out layers that appear a second time.
            for child, layer in zip(module._modules, module, strict=True):
                source = self.read(layer, f"{name}.{child}".lstrip("."), source)
            return source
        affine = affine_of(module, name)
        if affine is not None:
            return self._affine(name, source, *affine)
        activation = activation_of(module)
        if activation is not None:
            return self._bend(name, source, activation, bool(module.inplace))
        if changes_nothing(module, name):
            return source
        if type(module).__module__.startswith("torch.nn."):
            raise unknown(type(module).__name__, name)
        return self._traced(module, name, source)

    def _traced(self, module: nn.Module, name: str, source: int) -> int:
        """Read a module of the user's by what its ``forward`` does."""
        try:
            graph = _Whole().trace(module)
        except Exception as error:  # the user's own code may raise anything
            raise ConfigurationError(
                f"expected a network of {KNOWN}, whose forward does not branch on its input; "
                f"reading {type(module).__name__} failed: {' '.join(str(error).split())}"
            ) from error
        registers: dict[Any, int] = {}
        result = source
        for node in graph.nodes:
            sources = [self._source(node, registers, part) for part in _tensors(node)]
            at = f"{name}.{node.target if node.op == 'call_module' else node.name}".lstrip(".")
            if node.op == "placeholder" and not registers:
                registers[node] = source
            elif node.op == "call_module" and len(sources) == 1:
                child = module.get_submodule(str(node.target))
                registers[node] = self.read(child, at, *sources)
            elif node.op in ("call_function", "call_method"):
                registers[node] = self._function(node, at, sources)
            elif node.op == "output" and len(sources) == 1:
                (result,) = sources
            else:
                raise ConfigurationError(
                    f"expected {KNOWN}, of one tensor in and one out; got {node.op} {at}"
                )
        return result

    def _function(self, node: fx.Node, name: str, sources: list[int]) -> int:
        settings = node.args[1:]
        in_place = node.target is operator.iadd or _says_in_place(node)
        if node.target in _SUMS and len(sources) == 2 and not node.kwargs:
            return self._sum(name, sources[0], sources[1], in_place)
        if node.target in _FLATTEN and node.kwargs.get("start_dim", (*settings, 0)[0]) == 1:
            return sources[0]
        if node.target in _ACTIVATIONS and len(sources) == 1:
            named = {k: v for k, v in node.kwargs.items() if k != "inplace"}
            activation = _ACTIVATIONS[node.target](*settings, **named)
            return self._bend(name, sources[0], activation, in_place)
        raise unknown(getattr(node.target, "__name__", str(node.target)), name)

    def _affine(self, name: str, source: int, weight: Array, bias: Array) -> int:
        if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
            raise ConfigurationError(
                f"expected finite weights, but the layer {name or 'given'} holds NaN or infinite "
                "ones"
            )
        if self.width[source] == _UNKNOWN:
            self.inputs = self.inputs or weight.shape[1]
            if source == 0:
                self.width[0] = self.inputs
        elif weight.shape[1] != self.width[source]:
            raise ConfigurationError(
                f"expected a layer of {self.width[source]} inputs, but {name or 'it'} takes "
                f"{weight.shape[1]}"
            )
        target = self._new(len(weight))
        self.steps.append(Affine(source, target, weight, bias))
        return target

    def _sum(self, name: str, left: int, right: int, in_place: bool) -> int:
        widths = {self.width[left], self.width[right]}
        if len(widths) > 1 and _UNKNOWN not in widths:
            raise ConfigurationError(
                f"expected a sum of equal widths at {name}, got {self.width[left]} and "
                f"{self.width[right]}"
            )
        target = self._new(max(widths))
        self.steps.append(Sum(left, right, target))
        if in_place:
            self._overwritten[left] = target
        return target

    def _bend(self, name: str, source: int, activation: Activation, in_place: bool) -> int:
        width = self.width[source]
        target = self._new(width)
        # A module may be used twice; each use is a layer of its own.
        self._names[name] += 1
        label = name if self._names[name] == 1 else f"{name}#{self._names[name]}"
        bend = Bend(source, target, activation, width, label, self._bits)
        self._bits = bend.bits.stop
        self.steps.append(bend)
        if in_place:
            self._overwritten[source] = target
        return target

    def _source(self, node: fx.Node, registers: dict[Any, int], value: fx.Node) -> int:
        if value not in registers:
            raise ConfigurationError(
                f"expected {node.name} to take a tensor that the network computes, got {value}"
            )
        register = registers[value]
        while register in self._overwritten:
            register = self._overwritten[register]
        return register

    def _new(self, width: int) -> int:
        register = len(self.width)
        self.width[register] = width
        return register


def _says_in_place(node: fx.Node) -> bool:
    """Whether a function is called as ``relu_(x)``, ``relu(x, True)`` or with inplace=True."""
    name = str(getattr(node.target, "__name__", node.target))
    return name.endswith("_") or True in (*node.args[1:], node.kwargs.get("inplace"))


def _tensors(node: fx.Node) -> list[fx.Node]:
    """Return the arguments that are values of the graph, in order."""
    return [part for part in (*node.args, *node.kwargs.values()) if isinstance(part, fx.Node)]
