"""All linear regions of a network in a box, by cutting the box layer by layer.

Every layer's pre-activations are continuous and affine on the cells found so far, so their
values at the vertices say all about where its units' hyperplanes run. A new vertex lies on
an edge and takes its values from the edge's ends: no point is ever evaluated twice
(compare Berzins, "Polyhedral complex extraction from ReLU networks using edge subdivision",
2023, which keeps edges alone; keeping faces of every dimension makes each cut local).
"""

import sys

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import nn

from bandlimiter.errors import ConfigurationError
from bandlimiter.geometry.box import read_box
from bandlimiter.geometry.cells import CellComplex, UnresolvedError
from bandlimiter.geometry.matrices import read_network
from bandlimiter.geometry.network import Affine, Bend, PiecewiseLinear, Registers, Sum
from bandlimiter.geometry.regions import Regions

Floats = NDArray[np.float64]

TOLERANCES = (1e-12, 1e-13, 1e-11, 1e-10)
"""Vertices this close to a hyperplane, relative to the scale of their values' rounding, are on
it. The first is a thousand times that rounding, so that arrangements that are degenerate on
paper come out degenerate; the others are tried in turn where hyperplanes differ by about as
much, and regions do not fill the box."""

FILLED = 1e-10
"""How far the regions' volumes may be from the box's, relative, before that is said."""


def enumerate_regions(
    network: nn.Module | PiecewiseLinear,
    lower: ArrayLike,
    upper: ArrayLike,
    *,
    limit: int | None = None,
) -> Regions:
    """Enumerate the activation regions of a network in a box, in float64.

    An activation region is a set of points at which the same units exceed their
    thresholds, of full dimension, cut off by the box. Regions of equal affine maps that
    touch are *not* joined; `maximal_regions` does that.

    Parameters
    ----------
    network
        As for `read_network`, of n = 1 to 4 inputs. Unbiased networks, parallel or
        coincident hyperplanes and dead units are no special cases.
    lower, upper
        [n] each, or a number for all axes: the corners of the box.
    limit
        Stop with an error when there are more regions than this.

    Returns
    -------
    Regions

    Raises
    ------
    InputError
        (a ValueError) for n above 4, or a box that is empty or unbounded.
    ConfigurationError
        (a ValueError) for a layer that is not piecewise linear, for NaN weights, where
        ``limit`` is passed, or where hyperplanes differ by so little that no tolerance
        gives regions that fill the box (rare even then).

    Notes
    -----
    Signs are decided at vertices to a relative 1e-12 (`TOLERANCES`); a region thinner than
    that is part of its neighbour. Time grows with regions times units.

    Examples
    --------
    >>> from torch import nn
    >>> network = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1)).double()
    >>> _ = nn.init.eye_(network[0].weight), nn.init.zeros_(network[0].bias)
    >>> regions = enumerate_regions(network, lower=-1, upper=1)
    >>> len(regions), regions.volumes.tolist()
    (4, [1.0, 1.0, 1.0, 1.0])
    """
    pieces = read_network(network, _length(lower, upper))
    low, high = read_box(lower, upper, pieces.dim)
    for tolerance in TOLERANCES:
        try:
            regions, doubtful = _cut_box(pieces, low, high, limit, tolerance)
        except UnresolvedError as error:
            failure = error
            continue
        if not doubtful or _fill(regions, low, high):
            return regions
        failure = UnresolvedError(
            "expected hyperplanes that coincide or keep apart, got some that differ by so "
            "little that their regions do not fill the box; move the box a little, or round "
            "the network's weights"
        )
    raise failure


def _fill(regions: Regions, low: Floats, high: Floats) -> bool:
    box = float(np.prod(high - low))
    return abs(float(regions.volumes.sum()) - box) <= FILLED * box


def _cut_box(
    pieces: PiecewiseLinear, low: Floats, high: Floats, limit: int | None, tolerance: float
) -> tuple[Regions, bool]:
    """Return the regions, and whether a vertex was not clearly on or off a hyperplane."""
    complex_ = CellComplex(low, high, pieces.hyperplanes)
    registers: Registers = {pieces.entry: complex_.points}
    moduli: Registers = {pieces.entry: np.abs(complex_.points).max(axis=0)}
    for number, step in enumerate(pieces.steps):
        if isinstance(step, Affine):
            moduli[step.target] = _moduli(step, registers[step.source], moduli[step.source])
            registers[step.target] = registers[step.source] @ step.weight.T + step.bias
        elif isinstance(step, Sum):
            registers[step.target] = registers[step.left] + registers[step.right]
            moduli[step.target] = moduli[step.left] + moduli[step.right]
        else:
            levels = np.abs(step.activation.thresholds)
            tolerances = tolerance * (moduli[step.source][:, None] + levels).ravel()
            _cut_along_layer(complex_, step, registers, tolerances, limit)
            moduli[step.target] = moduli[step.source] * np.abs(step.activation.slopes).max()
        pieces.forget(registers, number)
    return Regions(pieces, complex_, registers[pieces.result]), complex_.doubtful


def _moduli(step: Affine, source: Floats, inherited: Floats) -> Floats:
    """Return the scale of the rounding of each number that a step forms: [out].

    That of its own sum, and what the source's numbers bring along: where large terms have
    cancelled, more than their size tells. Errors of different numbers are independent, so
    that their squares add, and a deep network's scale stays close to its numbers'.
    """
    formed: Floats = np.abs(step.weight) @ np.abs(source).max(axis=0) + np.abs(step.bias)
    carried = np.abs(step.weight) * inherited
    largest = carried.max(axis=1, initial=0.0, keepdims=True)
    if not np.isfinite(formed + len(inherited) * largest[:, 0]).all():
        raise ConfigurationError(
            "expected weights whose products fit float64, got sums that overflow; scale the "
            "network or the box down"
        )
    shares = carried / np.where(largest > 0, largest, 1.0)  # squares that cannot overflow
    brought: Floats = largest[:, 0] * np.linalg.norm(shares, axis=1)
    return formed + brought


def _cut_along_layer(
    complex_: CellComplex, layer: Bend, registers: Registers, tolerances: Floats, limit: int | None
) -> None:
    """Cut by every unit of a layer, then bend; all registers get rows for new vertices."""
    # One table of all live registers, so that a new vertex is one row.
    order = [layer.source, *(name for name in registers if name != layer.source)]
    values = np.concatenate([registers[name] for name in order], axis=1)
    thresholds = layer.activation.thresholds
    most = sys.maxsize if limit is None else limit
    values = complex_.cut(values, thresholds, tolerances, layer.first_bit, most)
    if len(complex_.patterns) > most:
        raise ConfigurationError(
            f"expected at most {limit} regions, got more in layer {layer.name}; raise the "
            "limit, or take a smaller box or network"
        )
    widths = np.cumsum([registers[name].shape[1] for name in order])[:-1]
    columns = np.split(values, widths, axis=1)
    registers.update(zip(order, columns, strict=True))
    registers[layer.target] = layer.activation(registers[layer.source])


def _length(lower: ArrayLike, upper: ArrayLike) -> int | None:
    """Return the number of axes that the bounds state, if they do."""
    sizes = [np.size(bound) for bound in (lower, upper) if np.ndim(bound) == 1]
    return sizes[0] if sizes else None
