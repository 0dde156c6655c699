"""The network compiled by torch.compile: once for all batch sizes, its weights frozen in."""

import inspect
from threading import Lock
from typing import Any

import torch
import torch._dynamo.config
import torch._inductor.config
from torch import nn
from typing_extensions import override

from bandlimiter.acceleration.backends import MadeForShape, Run, UnavailableError
from bandlimiter.tensors import find_logits

# Compiled code is kept by code object, which all modules share: without this (torch < 2.14) the
# ninth accelerated model of a process would fail to compile.
_ISOLATED: dict[str, Any] = (
    {"isolate_recompiles": True}
    if "isolate_recompiles" in inspect.signature(torch.compile).parameters
    else {}
)

# PyTorch chooses a float32 convolution on a CPU by whether a batch has 16 images, and compiled
# code keeps to the choice: one size on each side is compiled.
_LARGE = 16

# The freezing switch is the process's, not a call's: set by one at a time.
_COMPILING = Lock()


class Compiled(MadeForShape):
    """A network that is compiled at the first batch of each image shape.

    Compiled with freezing: the weights become constants, laid out as oneDNN likes them best
    and with activations fused into convolutions. As an option of torch.compile the switch
    comes too late for that; it has to be on in the process while compiling.

    A single input goes through as two, itself twice: torch.compile makes code of its own for
    a size of one, which would cost another compilation.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network)
        self._compiled: Any = None

    @override
    def make(self, x: torch.Tensor) -> Run:
        if torch._dynamo.config.disable:
            raise UnavailableError("torch.compile is switched off (TORCH_COMPILE_DISABLE)")
        if self._compiled is None:  # not before: some modules are refused at once
            self._compiled = torch.compile(self._network, dynamic=True, fullgraph=True, **_ISOLATED)
        with _COMPILING, torch._inductor.config.patch(freezing=True):
            self._run(_at_least(_LARGE, x))
            self._run(x[:1])
        return self._run

    def _run(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) == 1:
            return find_logits(self._compiled(torch.cat([x, x])))[:1]
        return find_logits(self._compiled(x))


def _at_least(count: int, x: torch.Tensor) -> torch.Tensor:
    """Return x, repeated to ``count`` inputs where it has fewer."""
    return x if len(x) >= count else torch.cat([x] * -(-count // len(x)))[:count]
