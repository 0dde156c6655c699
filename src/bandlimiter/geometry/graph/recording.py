"""Records what a forward does to its input, operation by operation, while it runs.

The module runs once on an example. Each operation on something that was computed from the
input becomes a step; operations on weights alone run as they are, and their results are
constants. So branches on shapes, hooks and custom forwards are simply followed.
"""

from collections import Counter
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from typing_extensions import override

from bandlimiter.errors import ConfigurationError
from bandlimiter.geometry.graph import vocabulary as known
from bandlimiter.geometry.graph.agreement import ROUNDING
from bandlimiter.geometry.graph.calls import Call, PerInput, Slot, expanded, reshaped
from bandlimiter.geometry.graph.modules import RunningModules
from bandlimiter.geometry.graph.steps import AffineStep, BendStep, GraphStep, MaxStep
from bandlimiter.geometry.graph.windows import windows_of

aten = torch.ops.aten
Arguments = tuple[Any, ...]

MIXES = "which mixes the inputs of a batch or looks at one of them"

_STALE = -1
"""Instead of a register: the tensor was changed in place through another view of it."""


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Turns the operations of one forward into steps.

    Parameters
    ----------
    x
        [2, ...] the example input.
    modules
        Which module is running, for names.
    """

    def __init__(self, x: torch.Tensor, modules: RunningModules) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.steps: list[GraphStep] = []
        self.shapes: dict[int, tuple[int, ...]] = {}
        self.softmax: dict[int, tuple[int, str, Call]] = {}
        """Registers that hold a softmax's result: what it was taken of, its name, and it."""
        self.refusal: ConfigurationError | None = None
        """Why an operation was refused; on its way TorchScript makes another error of it."""
        self._batch = len(x)
        self._modules = modules
        self._names: Counter[str] = Counter()
        # Tensors are told by identity, and kept, so that no identity is used again.
        self._known: dict[int, tuple[torch.Tensor, int]] = {}
        self._bind(x, self._new(x, ""))

    def register_of(self, part: Any) -> int | None:
        """Return the register of a tensor that was computed from the input, else None."""
        _, register = self._known.get(id(part), (None, None))
        if register == _STALE:
            raise ConfigurationError(
                f"expected tensors that keep their values, but one that {self._modules.at('it')} "
                "takes was changed in place through a view of it; clone it first"
            )
        return register

    @override
    def __torch_dispatch__(
        self, func: Any, types: Any, args: Arguments = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        try:
            return self._follow(func, args, kwargs or {})
        except ConfigurationError as error:
            self.refusal = error
            raise

    def _follow(self, func: Any, args: Arguments, kwargs: dict[str, Any]) -> Any:
        if func is aten._convolution.default:  # a traced one, with four settings of cuDNN
            func, args = aten.convolution.default, args[:9]
        sources = self._sources((args, kwargs))
        name = func.overloadpacket.__name__.strip("_")
        if torch.Tag.nondeterministic_seeded in func.tags and func not in known.ACTIVATIONS:
            raise self._modules.unknown(name, "which draws random numbers")
        if not sources or func in known.CONSTANTS:
            return func(*args, **kwargs)
        for source in sources:
            if source in self.softmax:
                layer = self.softmax[source][1]
                reason = f"which takes the result of a Softmax (layer {layer}) before the end"
                raise self._modules.unknown(name, reason)
        if func in known.SAME or (func in known.CASTS and _keeps_fractions(kwargs)):
            return self._bind(func(*args, **kwargs), sources[0])
        if not self._fits(func, args, kwargs):
            product = "of two things computed from the input" if func in known.ONE_FACTOR else ""
            raise self._modules.unknown(name, product)
        if func in known.NORMS and _uses_batch_statistics(func, args):
            raise self._modules.not_evaluating("BatchNorm")
        given = tree_map(self._slot(func, sources), (args, kwargs))
        result = func(*args, **kwargs)
        if func in known.SOFTMAXES:
            register = self._new(result, name)
            self.softmax[register] = (sources[0], self._modules.at(name), Call(func, *given))
            return self._bind(result, register)
        if func in known.ACTIVATIONS:
            try:
                activation = known.ACTIVATIONS[func](*args, **kwargs)
            except ConfigurationError as error:
                raise ConfigurationError(f"{error} (layer {self._modules.at(name)})") from error
            target = self._new(result, name)
            label = self._label(name)
            shape = self.shapes[target]
            self.steps.append(BendStep(sources[0], target, activation, label, shape))
            return self._bind(result, target)
        if func in known.MAXIMA:
            return self._largest(func, args, result, sources, name)
        return self._affine(func, given, result, sources, name)

    def _affine(
        self, func: Any, given: Arguments, result: Any, sources: list[int], name: str
    ) -> Any:
        args, kwargs = given
        call = Call(known.IN_PLACE.get(func, func), args, kwargs)
        if func in known.RESHAPES:
            call = Call(reshaped, (Slot(0), tuple(result.shape[1:])), {})
        elif func is aten.expand.default:
            call = Call(expanded, (Slot(0), tuple(result.shape[1:])), {})
        elif func in known.NORMS:
            call = Call(func, args, kwargs, pick=0)
            self._add(call, sources, result[0], name)
            return result
        if isinstance(result, torch.Tensor):
            self._add(call, sources, result, name)
            return result
        for pick, part in enumerate(result):  # of a split
            self._add(Call(call.function, args, kwargs, pick), sources, part, name)
        return result

    def _add(self, call: Call, sources: list[int], result: torch.Tensor, name: str) -> None:
        target = self._new(result, name)
        step = AffineStep(tuple(sources), target, call, self._modules.at(name))
        self.steps.append(step)
        self._bind(result, target)

    def _largest(
        self, func: Any, args: Arguments, result: Any, sources: list[int], name: str
    ) -> Any:
        value = result if isinstance(result, torch.Tensor) else result[0]
        if func in known.LARGER_OF_TWO:
            both = torch.stack([part.expand_as(value) for part in args[:2]], dim=1)
            slots = tree_map(self._slot(func, sources), list(args[:2]))
            self._add(Call(aten.stack.default, (slots, 1), {}), sources, both, name)
            sources = self._sources([both])
        target = self._new(value, name)
        windows = windows_of(func, args, self.shapes[sources[0]], self.shapes[target])
        if windows is None:
            raise self._modules.unknown(name, MIXES)
        label = self._label(name)
        self.steps.append(MaxStep(sources[0], target, windows, label, self.shapes[target]))
        self._bind(value, target)
        return result

    def _fits(self, func: Any, args: Arguments, kwargs: dict[str, Any]) -> bool:
        """Whether what is computed from the input stands only where the operation allows it."""
        if self._sources(kwargs):
            return False
        inputs = [part for part in tree_leaves(args) if self.register_of(part) is not None]
        if func in known.ALL_TOGETHER:
            return True
        if func in known.LARGER_OF_TWO:
            return len(inputs) == 2 and inputs[0].shape == inputs[1].shape
        if func in known.ONE_FACTOR:
            return len(inputs) == 1
        if func in known.WITH_BIAS:
            return len(inputs) == 1 and inputs[0] is args[1]
        return func in known.FIRST_ONLY and len(inputs) == 1 and inputs[0] is args[0]

    def _slot(self, func: Any, sources: list[int]) -> Any:
        """Return what replaces arguments by slots and by constants that know their batch."""
        per_input = func in known.NUMBER_BY_NUMBER
        axes = {len(self.shapes[source]) + 1 for source in sources}

        def replaced(part: Any) -> Any:
            register = self.register_of(part)
            if register is not None:
                return Slot(sources.index(register))
            if not isinstance(part, torch.Tensor):
                return part
            if per_input and part.ndim in axes and len(part) == self._batch:
                # Made by the forward for this batch: another batch needs another length.
                if _alike(part):
                    return PerInput(part[:1].clone())
                name = func.overloadpacket.__name__.strip("_")
                raise self._modules.unknown(name, "with constants that differ between inputs")
            return part

        return replaced

    def _sources(self, parts: Any) -> list[int]:
        """Return the registers among arguments, each once."""
        registers = (self.register_of(part) for part in tree_leaves(parts))
        return list(dict.fromkeys(r for r in registers if r is not None))

    def _new(self, value: torch.Tensor, name: str) -> int:
        if value.ndim == 0 or len(value) != self._batch:
            raise self._modules.unknown(name, MIXES)
        register = len(self.shapes)
        self.shapes[register] = tuple(value.shape[1:])
        return register

    def _bind(self, tensor: torch.Tensor, register: int) -> torch.Tensor:
        """Say which register a tensor is; if it was one before, it was changed in place."""
        if id(tensor) in self._known and self._known[id(tensor)][1] != register:
            storage = tensor.untyped_storage()._cdata
            for key, (other, _) in self._known.items():
                if other.untyped_storage()._cdata == storage:
                    self._known[key] = (other, _STALE)
        self._known[id(tensor)] = (tensor, register)
        return tensor

    def _label(self, operation: str) -> str:
        """Return a layer's name; a module may be used twice, and each use is a layer."""
        name = self._modules.at(operation)
        self._names[name] += 1
        return name if self._names[name] == 1 else f"{name}#{self._names[name]}"


def _keeps_fractions(kwargs: dict[str, Any]) -> bool:
    """Whether a cast is to a floating type: all of these are read as one."""
    return kwargs.get("dtype") is None or bool(kwargs["dtype"].is_floating_point)


def _alike(rows: torch.Tensor) -> bool:
    """Whether all rows are one, but for the rounding that a kernel may give each."""
    same = rows == rows[:1]
    if rows.is_floating_point() and not same.all():
        same |= (rows - rows[:1]).abs() <= ROUNDING * rows.abs().max()
    return bool(same.all())


def _uses_batch_statistics(func: Any, args: Arguments) -> bool:
    return func is aten.native_batch_norm.default and bool(args[5])
