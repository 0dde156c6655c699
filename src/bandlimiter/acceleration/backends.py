"""What runs the copied network: one small class a backend, all with the same two methods."""

import logging
from abc import abstractmethod
from collections.abc import Callable
from threading import Lock
from typing import Any, Protocol

import torch
from torch import nn
from typing_extensions import override

from bandlimiter.errors import ConfigurationError
from bandlimiter.tensors import find_logits

logger = logging.getLogger(__name__)

Run = Callable[[torch.Tensor], Any]
"""From inputs to what `find_logits` reads."""


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
        return find_logits(self._network(x))


class MadeForShape(Runner):
    """A network made faster for each image shape that comes, and run as it is where that fails.

    What is made serves all batch sizes. It depends on the number of threads, which sessions
    and compiled code are made for, and on ``torch.use_deterministic_algorithms``.
    """

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._made: dict[tuple[Any, ...], Run] = {}
        self._making = Lock()

    @abstractmethod
    def make(self, x: torch.Tensor) -> Run:
        """Return what runs inputs of the shape of ``x``, with any number of them; may fail."""

    @override
    def prepare(self, x: torch.Tensor) -> None:
        """Make what runs inputs like ``x``; raise `UnavailableError` where that fails."""
        try:
            self._made[_key(x)] = self.make(x.clone())
        except UnavailableError:
            raise
        # Compilers and exporters fail in many ways: none installed, code that cannot be
        # traced, operators that they lack, a bug.
        except Exception as error:
            raise UnavailableError(reason(error)) from error

    @override
    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        key = _key(x)
        if key not in self._made:
            with self._making:
                if key not in self._made:  # while this thread waited
                    self._make_or_go_on(x)
        return find_logits(self._made[key](x))

    def _make_or_go_on(self, x: torch.Tensor) -> None:
        try:
            self.prepare(x)
        except UnavailableError as error:
            # Where the input is at fault, this says so, and nothing is kept.
            self._network(x.clone())
            logger.warning("inputs of shape %s run eagerly: %s", tuple(x.shape[1:]), error)
            self._made[_key(x)] = self._network


def _key(x: torch.Tensor) -> tuple[Any, ...]:
    """What else than the batch size the code depends on."""
    return (x.shape[1:], torch.get_num_threads(), torch.are_deterministic_algorithms_enabled())


def reason(error: BaseException) -> str:
    """Return an error's innermost cause in one line."""
    while (inner := getattr(error, "inner_exception", None) or error.__cause__) is not None:
        error = inner
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
