"""The box in which a network is looked at."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bandlimiter.errors import InputError
from bandlimiter.tensors import as_float64

MOST_DIMENSIONS = 4
"""Regions are enumerated up to here; a line or a plane through more dimensions can be."""


def read_box(
    lower: ArrayLike, upper: ArrayLike, dim: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the corners of a box as float64 [n] each.

    Parameters
    ----------
    lower, upper
        [n] each, or a number that holds for every axis.
    dim
        n, 1 to 4.

    Raises
    ------
    InputError
        (a ValueError) for n above 4, bounds of another length, a box that is unbounded,
        empty, or has NaN corners.
    """
    if not 1 <= dim <= MOST_DIMENSIONS:
        raise InputError(
            f"expected a network of 1 to {MOST_DIMENSIONS} inputs, got {dim}; regions in more "
            "dimensions are too many to list: look at a line or a plane through them, with "
            "read_network(network).restricted(directions, offset)"
        )
    low, high = as_float64(lower, "lower"), as_float64(upper, "upper")
    for name, bound in (("lower", low), ("upper", high)):
        if bound.shape not in ((), (dim,)):
            raise InputError(f"expected {name} with {dim} numbers, got shape {bound.shape}")
        if not np.isfinite(bound).all():
            raise InputError(f"expected a bounded box, got {name} = {bound.tolist()}")
    low, high = np.broadcast_to(low, dim).copy(), np.broadcast_to(high, dim).copy()
    if not (low < high).all():
        raise InputError(
            f"expected a box with lower < upper on every axis, got {low.tolist()} and "
            f"{high.tolist()}"
        )
    return low, high
