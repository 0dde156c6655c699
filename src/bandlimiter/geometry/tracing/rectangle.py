"""A rectangle of inputs, in a plane through input space."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from bandlimiter.errors import InputError
from bandlimiter.tensors import as_float64

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Rectangle:
    """The inputs origin + a u + b v.

    Attributes
    ----------
    origin, u, v
        [...] each, without batch dimension.
    extent
        (a low, a high, b low, b high).
    """

    origin: Floats
    u: Floats
    v: Floats
    extent: tuple[float, float, float, float]

    def places(self, shares: Floats) -> Floats:
        """Return the coordinates (a, b) of shares of the sides: [N, 2] -> [N, 2]."""
        low_a, high_a, low_b, high_b = self.extent
        # Each term is exact at its end of the side.
        found: Floats = (1 - shares) * [low_a, low_b] + shares * [high_a, high_b]
        return found

    def inputs(self, shares: Floats) -> torch.Tensor:
        """Return the inputs at shares of the sides: [N, 2] -> [N, ...]."""
        points = [self.origin + a * self.u + b * self.v for a, b in self.places(shares)]
        return torch.from_numpy(np.stack(points))


def read_rectangle(
    origin: ArrayLike | torch.Tensor,
    u: ArrayLike | torch.Tensor,
    v: ArrayLike | torch.Tensor,
    extent: float | Sequence[float],
) -> Rectangle:
    """Return the rectangle that is asked for, in float64; one number e is (-e, e, -e, e).

    Raises
    ------
    InputError
        (a ValueError) for points of different shapes, not finite, for directions that are
        parallel or zero, or an extent that is empty.
    """
    base = as_float64(origin, "the origin")
    along, across = as_float64(u, "u"), as_float64(v, "v")
    if base.ndim == 0 or not base.shape == along.shape == across.shape:
        raise InputError(
            "expected an input and two directions of one shape without batch, got "
            f"{base.shape}, {along.shape} and {across.shape}"
        )
    if not all(np.isfinite(part).all() for part in (base, along, across)):
        raise InputError("expected a finite origin and directions, got NaN or infinite numbers")
    lengths = [np.linalg.norm(part) for part in (along, across)]
    if min(lengths) == 0 or abs(along.ravel() @ across.ravel()) >= (1 - 1e-12) * np.prod(lengths):
        raise InputError("expected two directions that span a plane, got parallel or zero ones")
    return Rectangle(base, along, across, _bounds(extent))


def _bounds(extent: float | Sequence[float]) -> tuple[float, float, float, float]:
    numbers = as_float64(extent, "the extent")
    if numbers.ndim == 0:
        numbers = float(numbers) * np.array([-1.0, 1.0, -1.0, 1.0])
    if numbers.shape != (4,) or not np.isfinite(numbers).all():
        raise InputError(
            f"expected an extent of one or four finite numbers, got {np.asarray(extent).tolist()}"
        )
    low_a, high_a, low_b, high_b = numbers.tolist()
    if not (low_a < high_a and low_b < high_b):
        raise InputError(f"expected an extent with low < high, got {numbers.tolist()}")
    return low_a, high_a, low_b, high_b
