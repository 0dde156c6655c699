"""Labelled points in the square [-1, 1]^2, by name: what small networks are trained on."""

import importlib
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandlimiter.errors import ConfigurationError, MissingExtraError

_NOISE = {"moons": 0.1, "circles": 0.05, "blobs": 0.25}
PLANAR_SETS = tuple(_NOISE)
"""The names that `load_planar` knows."""

_INNER = 0.5
_CENTRES = [(0.0, 1.0), (-math.sqrt(0.75), -0.5), (math.sqrt(0.75), -0.5)]
_LAST_SEED = 2**32 - 1


@dataclass(frozen=True, eq=False)
class PlanarSet:
    """Points of the plane with a class each.

    Attributes
    ----------
    name
        What it was asked for as.
    points
        [N, 2] float64 in [-1, 1].
    labels
        [N] int64 class indices from 0.
    """

    name: str
    points: NDArray[np.float64]
    labels: NDArray[np.int64]


def load_planar(
    name: str, *, points: int = 400, noise: float | None = None, seed: int = 0
) -> PlanarSet:
    """Draw the set called ``name`` and scale it into the square [-1, 1]^2.

    The transformation is p -> (p - c) / h, with c the centre of the points' bounding box
    and h half its longer side. It is one scale for both axes, so circles stay round; the
    set reaches both edges of the square along one axis and is centred along the other. As
    c and h come from the points themselves, they depend on ``noise`` and ``seed``.

    Parameters
    ----------
    name
        ``moons``, two interleaved half circles of radius 1; ``circles``, two concentric
        ones of radius 1 (class 0) and 0.5 (class 1), both as scikit-learn draws them;
        ``blobs``, three normal clouds around an equilateral triangle's corners, each at
        distance 1 from its centre.
    points
        How many, at least 2. Classes get as many each, or differ by one.
    noise
        Standard deviation of the normal noise in each coordinate, *before* scaling: at
        least 0. None takes 0.1 for moons, 0.05 for circles, 0.25 for blobs.
    seed
        From 0 to 2^32 - 1; scikit-learn's ``random_state``, which draws noise and order.

    Raises
    ------
    ConfigurationError
        For an unknown name, or a number out of its range.
    MissingExtraError
        Where scikit-learn is not installed.
    """
    if name not in _NOISE:
        raise ConfigurationError(f"expected a planar set of {', '.join(PLANAR_SETS)}; got {name!r}")
    if points < 2:
        raise ConfigurationError(f"expected at least 2 points, got {points}")
    if noise is None:
        noise = _NOISE[name]
    if not 0 <= noise < math.inf:
        raise ConfigurationError(f"expected noise of at least 0 and finite, got {noise}")
    if not 0 <= seed <= _LAST_SEED:
        raise ConfigurationError(f"expected a seed from 0 to {_LAST_SEED}, got {seed}")
    drawn, labels = _draw(name, points, noise, seed)
    return PlanarSet(name, _into_square(np.asarray(drawn, np.float64)), labels.astype(np.int64))


def _draw(name: str, points: int, noise: float, seed: int) -> tuple[Any, Any]:
    try:
        datasets: Any = importlib.import_module("sklearn.datasets")
    except ImportError as error:
        raise MissingExtraError(
            "scikit-learn is not installed; pip install 'bandlimiter[spectrum]'"
        ) from error
    drawn: tuple[Any, Any]
    if name == "moons":
        drawn = datasets.make_moons(points, noise=noise, random_state=seed)
    elif name == "circles":
        drawn = datasets.make_circles(points, noise=noise, factor=_INNER, random_state=seed)
    else:
        drawn = datasets.make_blobs(points, centers=_CENTRES, cluster_std=noise, random_state=seed)
    return drawn


def _into_square(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Apply `load_planar`'s transformation: [N, 2] -> [N, 2]."""
    low, high = points.min(axis=0), points.max(axis=0)
    scaled = (points - (low + high) / 2) / ((high - low).max() / 2)
    inside: NDArray[np.float64] = np.clip(scaled, -1.0, 1.0)  # rounding may leave the square
    return inside
