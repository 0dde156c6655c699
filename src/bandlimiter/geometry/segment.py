"""What a straight step from one point to another crosses, exactly."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import nn

from bandlimiter.errors import InputError
from bandlimiter.geometry.enumeration import enumerate_regions
from bandlimiter.geometry.matrices import read_network
from bandlimiter.geometry.network import PiecewiseLinear
from bandlimiter.tensors import as_float64


@dataclass(frozen=True)
class SegmentCrossings:
    """Hyperplanes between two points.

    Attributes
    ----------
    positions
        [B] in (0, 1): where along the segment regions change.
    crossings
        How many hyperplanes of each layer are crossed on the way, by the layer's name.
    flips
        How many are exceeded at one end and not at the other: at most as many, and of
        equal parity.
    """

    positions: NDArray[np.float64]
    crossings: Mapping[str, int]
    flips: Mapping[str, int]


def segment_crossings(
    network: nn.Module | PiecewiseLinear, start: ArrayLike, end: ArrayLike
) -> SegmentCrossings:
    """Count the hyperplanes between two points, layer by layer.

    Parameters
    ----------
    network
        As for `read_network`, of any number of inputs n.
    start, end
        [n] each.

    Raises
    ------
    InputError
        (a ValueError) for points of other shapes, not finite, or equal.
    """
    a, b = as_float64(start, "the start"), as_float64(end, "the end")
    if a.ndim != 1 or a.shape != b.shape:
        raise InputError(f"expected two points [n], got shapes {a.shape} and {b.shape}")
    if not (np.isfinite(a) & np.isfinite(b)).all():
        raise InputError(f"expected two finite points, got {a.tolist()} and {b.tolist()}")
    if (a == b).all():
        raise InputError(f"expected two different points, got {a.tolist()} twice")
    pieces = read_network(network, len(a))
    if pieces.dim != len(a):
        raise InputError(f"expected points of {pieces.dim} numbers, got {len(a)}")
    regions = enumerate_regions(pieces.restricted((b - a)[:, None], a), 0, 1)
    order = np.argsort(regions.vertices[regions.triangulation.simplices].mean(axis=(1, 2)))
    patterns = regions.patterns[regions.triangulation.owners[order]]
    changes = (patterns[1:] != patterns[:-1]).sum(axis=0)
    crossings: Counter[str] = Counter()
    flips: Counter[str] = Counter()
    for layer in pieces.layers:
        crossings[layer.name] += int(changes[layer.bits].sum())
        flips[layer.name] += int((patterns[0] != patterns[-1])[layer.bits].sum())
    inner = np.sort(regions.vertices[:, 0])[1:-1]
    return SegmentCrossings(inner, dict(crossings), dict(flips))
