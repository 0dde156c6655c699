"""Which module is running: for the names of layers, and for errors that name them."""

from types import TracebackType
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)

from bandlimiter.errors import ConfigurationError
from bandlimiter.geometry.graph.vocabulary import KNOWN


class InputWidth(Exception):  # noqa: N818  (it is an answer, not an error)
    """Says how many numbers the first layer with a stated width takes."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.width = width


class RunningModules:
    """Follows a module's parts while it runs.

    Parameters
    ----------
    root
        The module that will be called.
    ask_width
        Raise `InputWidth` at the first part that states a width.
    """

    def __init__(self, root: nn.Module, ask_width: bool = False) -> None:
        self._names = {id(module): name for name, module in root.named_modules()}
        self._stack: list[nn.Module] = []
        self._ask_width = ask_width

    def __enter__(self) -> "RunningModules":
        self._handles = (
            register_module_forward_pre_hook(self._enter),
            register_module_forward_hook(self._leave, always_call=True),
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: Any, trace: TracebackType | None
    ) -> None:
        for handle in self._handles:
            handle.remove()

    def at(self, operation: str) -> str:
        """Return a name for an operation that is running: its layer's, or where it is written."""
        if not self._stack:
            return operation
        module = self._stack[-1]
        name = self._names[id(module)]
        return name if _is_torchs(module) else f"{name}.{operation}".lstrip(".")

    def unknown(self, operation: str, reason: str = "") -> ConfigurationError:
        """Return the error for an operation that cannot be read: what, where, what to do."""
        module = self._stack[-1] if self._stack else None
        layer = module is not None and _is_torchs(module)
        kind = type(module).__name__ if layer else operation
        if module is not None and module.training and ("BatchNorm" in kind or "Dropout" in kind):
            return self.not_evaluating(kind)
        return ConfigurationError(
            f"expected a piecewise linear network of {KNOWN}; got {kind} (layer "
            f"{self.at(operation) or 'given'}){reason and ', '}{reason}; put one of these in its "
            "place and train again, or look at the part of the network that comes before it"
        )

    def not_evaluating(self, kind: str) -> ConfigurationError:
        """Return the error for a layer that is not a fixed function of its input."""
        if self._stack and _is_torchs(self._stack[-1]):
            kind = type(self._stack[-1]).__name__
        return ConfigurationError(
            f"expected {kind} ({self.at('') or 'the network'}) in evaluation mode with fixed "
            "statistics: otherwise its answer depends on the batch; call .eval(), and for a "
            "BatchNorm keep running statistics"
        )

    def failed(self, shape: tuple[int, ...], error: Exception) -> ConfigurationError:
        """Return the error for a forward that does not run."""
        module = self._stack[-1] if self._stack else None
        kind = "it" if module is None else f"{type(module).__name__} ({self.at('') or 'given'})"
        given = ", ".join(map(str, ("N", *shape)))
        reason = " ".join(str(error).split())
        if isinstance(module, torch.jit.ScriptModule):  # its errors quote its code
            reason = "TorchScript, frozen perhaps, cannot run in float64; give the nn.Module itself"
        return ConfigurationError(
            f"expected a network that takes inputs [{given}], but {kind} failed: {reason}"
        )

    def _enter(self, module: nn.Module, given: Any) -> None:
        if id(module) not in self._names:
            return
        self._stack.append(module)
        width = getattr(module, "in_features", None) or getattr(module, "num_features", None)
        if self._ask_width and isinstance(width, int):
            raise InputWidth(width)

    def _leave(self, module: nn.Module, given: Any, result: Any) -> None:
        # Not after an exception: where it came from is still to be said.
        if self._stack and self._stack[-1] is module and result is not None:
            self._stack.pop()


def _is_torchs(module: nn.Module) -> bool:
    return type(module).__module__.startswith("torch.nn.")
