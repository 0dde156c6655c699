"""Frequencies around a modulus, spread over directions and over a band of moduli."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import qmc

from bandlimiter.errors import InputError

Floats = NDArray[np.float64]

MOST = 1 << 20
"""Frequencies at one magnitude that are chosen without being asked for."""

_FEWEST = 1024
_GOLDEN = (5**0.5 - 1) / 2


def resolving_count(dim: int, extent: float, band: float) -> int:
    """Return how many frequencies resolve |F|^2 over directions.

    A function on a box has lobes as narrow as 1 over the box's diagonal, and most of |F|^2
    may lie in a few of them.

    Parameters
    ----------
    dim
        n.
    extent
        The modulus times the box's diagonal.
    band
        The ratio of the band's edges.

    Raises
    ------
    InputError
        (a ValueError) where that is more than `MOST`.
    """
    if dim == 1:
        return 1 if band == 1 else _FEWEST
    if dim == 2:  # half a turn, and neighbouring directions differ in modulus
        count = max(_FEWEST, math.ceil(np.pi * extent * (1 if band == 1 else 4)))
    else:
        count = max(_FEWEST, 1 << max(0, math.ceil(math.log2(extent) * (dim - 1))))
    if count > MOST:
        raise InputError(
            f"expected magnitudes that {MOST} frequencies resolve, got one that "
            f"needs {count}; lower the highest one, or state a count"
        )
    return count


def band_frequencies(dim: int, magnitude: float, band: float, count: int, seed: int) -> Floats:
    """Return frequencies [count, n] of all directions and moduli in a band.

    Moduli are uniform on a logarithmic axis from magnitude / sqrt(band) to
    magnitude * sqrt(band). Directions are evenly spaced over half a turn for n = 2 (F(-w) is
    the conjugate of F(w)); from n = 3 on a scrambled Sobol sequence gives both, so that means
    are unbiased.

    Parameters
    ----------
    dim, magnitude, band, count
        n, the middle, the ratio of the band's edges, how many.
    seed
        Scrambles, for n >= 3.
    """
    units, place = np.ones((count, dim)), np.empty((count, 1))
    if dim >= 3:
        sequence = qmc.Sobol(dim + 1, rng=np.random.default_rng(seed))
        cube = sequence.random_base2(max(0, math.ceil(math.log2(count))))[:count]
        normal = ndtri(cube[:, :dim].clip(1e-12, 1 - 1e-12))
        units[:] = normal / np.linalg.norm(normal, axis=1, keepdims=True)
        place[:] = cube[:, dim:]
    else:
        if dim == 2:
            # Half a step off the axes, on which the box's own edges are exceptional.
            angles = np.pi * (np.arange(count) + 0.5) / count
            units[:, 0], units[:, 1] = np.cos(angles), np.sin(angles)
        # Multiples of the golden ratio fill the band evenly along any run of directions.
        place[:, 0] = (np.arange(count) + 0.5) * _GOLDEN % 1
    waves: Floats = magnitude * band ** (place - 0.5) * units
    return waves
