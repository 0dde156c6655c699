"""What runs the copied network: one small class a backend, all with the same two methods."""

from typing import Protocol

import torch
from torch import nn
from typing_extensions import override

from bandlimiter.errors import ConfigurationError
from bandlimiter.tensors import logits_of


class UnavailableError(ConfigurationError):
    """A backend that cannot run this network on this machine; the message says why."""


class Runner(Protocol):
    """Runs one network; made anew for each copy."""

    def prepare(self, x: torch.Tensor) -> None:
        """Do now what a first call with inputs like ``x`` would wait for.

        Raises
        ------
        UnavailableError
            Where that fails.
        """

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits: [N, ...] float32, contiguous, N >= 1 -> [N, classes]."""


class Eager(Runner):
    """The network as it is."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network

    @override
    def prepare(self, x: torch.Tensor) -> None:
        """There is nothing to wait for."""

    @override
    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return logits_of(self._network(x))


def reason(error: BaseException) -> str:
    """Return an error's innermost cause in one line."""
    while (inner := getattr(error, "inner_exception", None) or error.__cause__) is not None:
        error = inner
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
