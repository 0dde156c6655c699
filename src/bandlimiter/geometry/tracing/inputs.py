"""What traces are asked for, checked; and the graph put where it is to run."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from bandlimiter.errors import ConfigurationError, InputError
from bandlimiter.geometry.graph import Graph, read_graph
from bandlimiter.tensors import as_float64

Progress = Callable[[int, int, str], None]
"""Called with (done, total, what)."""

_FEWEST_POINTS = 4
# Interpolation and the layers hold some registers twice while they work.
_COPIES = 3


class TraceLimitError(ConfigurationError):
    """There is more to trace than was allowed; ``trace`` holds the part traced so far."""

    def __init__(self, message: str, trace: Any) -> None:
        super().__init__(message)
        self.trace = trace


def two_points(
    start: ArrayLike | torch.Tensor, end: ArrayLike | torch.Tensor
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return two different finite points of one shape as float64.

    Raises
    ------
    InputError
        (a ValueError) for anything else.
    """
    a, b = as_float64(start, "the start"), as_float64(end, "the end")
    if a.ndim == 0 or a.shape != b.shape:
        raise InputError(
            f"expected two inputs of one shape without batch, got {a.shape} and {b.shape}"
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise InputError("expected two finite inputs, got NaN or infinite numbers")
    if (a == b).all():
        raise InputError("expected two different inputs, got the same one twice")
    return a, b


def place_graph(
    module: nn.Module | Graph, shape: tuple[int, ...], device: str | torch.device | None
) -> Graph:
    """Read a module, or take a graph that was read, and put it on a device.

    Raises
    ------
    ConfigurationError
        (a ValueError) for a layer that cannot be traced, or a graph of another shape.
    """
    if isinstance(module, Graph):
        graph = module
        if graph.shapes[0] != tuple(shape):
            raise ConfigurationError(
                f"expected inputs of shape {graph.shapes[0]}, as the graph was read, got {shape}"
            )
        return graph if device is None else graph.to(torch.device(device), torch.float64)
    graph = read_graph(module, tuple(shape))
    if device is None:
        held = next(iter(module.parameters()), None)
        device = torch.device("cpu") if held is None else held.device
    return graph.to(torch.device(device), torch.float64)


def require_limit(limit: int | None, name: str) -> None:
    """Refuse a limit below 0.

    Raises
    ------
    ConfigurationError
        (a ValueError).
    """
    if limit is not None and limit < 0:
        raise ConfigurationError(f"expected {name} of 0 or more, or None, got {limit}")


def points_per_pass(graph: Graph, memory: float) -> int:
    """Return how many points fit into ``memory`` mebibytes, at least four.

    Raises
    ------
    ConfigurationError
        (a ValueError) unless memory is positive.
    """
    if not 0 < memory < math.inf:
        raise ConfigurationError(f"expected a finite memory above 0 mebibytes, got {memory}")
    bytes_per_point = 8 * _COPIES * graph.numbers_per_point
    return max(_FEWEST_POINTS, int(memory * 2**20 // max(1, bytes_per_point)))
