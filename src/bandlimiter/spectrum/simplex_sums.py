"""The compiled loop: Fourier integrals of affine functions, summed over simplices.

For a simplex with vertices v_0, ..., v_d and an affine f (Hermite-Genocchi)::

    integral of f(x) exp(-i w.x) = d! volume * sum_j f(v_j) exp[z_0, ..., z_d, z_j],
    z_j = -i w.v_j

The sum over j is the derivative of exp[z_0, ..., z_d] along the values: each table entry
carries its tangent, so that one pass gives all. See `divided_differences` for the table.

A block of simplices is taken at a time, and each step of the table is one loop over the
block that the compiler turns into vector instructions. Entries whose nodes are close are
then put right one by one (`close_nodes`).
"""

import numpy as np
from numpy.typing import NDArray

from bandlimiter.spectrum.close_nodes import close_pairs, taylor
from bandlimiter.spectrum.phases import write_phases, write_waves
from bandlimiter.tensors.compiled import compiled

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]
Ids = NDArray[np.int64]

_BLOCK = 256
"""Simplices in a block: all that is known of them fits a processor's first cache."""

_HIGH, _LOW, _REAL, _IMAG, _VALUES = 0, 1, 2, 3, 4
"""What is kept of a node: w.v in two parts, exp(-i w.v), and the function's values."""


@compiled
def add_simplices(
    axes: Floats,
    values: Floats,
    corners: Ids,
    jacobians: Floats,
    groups: Ids,
    frequencies: Floats,
    totals: Complexes,
) -> None:
    """Add the integrals over all simplices to ``totals``, frequency by frequency.

    Parameters
    ----------
    axes, values
        [n, V] and [m, V]: the points, a row for each coordinate, and f there.
    corners, jacobians
        [d + 1, Q] numbers of points, and [Q] d! times the simplices' measures.
    groups
        [Q]: the group that each simplex is summed into.
    frequencies
        [F, n]
    totals
        [F, groups, m], added to: the sums over i^(d + 1).
    """
    order, outputs, count = len(corners) - 1, len(values), corners.shape[1]
    points = np.empty((4, axes.shape[1]))
    nodes = np.empty((_VALUES + outputs, order + 1, _BLOCK))
    table = np.empty((2, order + 1, _BLOCK))
    tangents = np.empty((outputs, 2, order + 1, _BLOCK))
    gaps = np.empty((order + 1, order + 1, _BLOCK))
    scale, lanes = np.empty(_BLOCK), np.empty(_BLOCK, dtype=np.int64)
    for f in range(len(frequencies)):
        write_phases(frequencies, f, axes, points[_HIGH], points[_LOW])
        write_waves(points[_HIGH], points[_LOW], points[_REAL], points[_IMAG])
        for v in range(points.shape[1]):
            points[_IMAG, v] = -points[_IMAG, v]  # exp(-i t) = cos t - i sin t
        for first in range(0, count, _BLOCK):
            size = min(_BLOCK, count - first)
            _gather(points, values, corners, first, size, nodes)
            _sort(nodes, scale)
            _start(nodes, table, tangents)
            _gaps(nodes, gaps)
            for k in range(1, order + 1):
                for a in range(order + 1 - k):
                    _divide(nodes, a, k, gaps[k, a], scale, table, tangents)
                    close = _close(gaps, a, k, size, lanes)
                    if close > 0 and k == 1:
                        close_pairs(nodes, a, lanes[:close], table, tangents)
                    elif close > 0:
                        taylor(nodes, a, k, lanes[:close], table, tangents)
            for m in range(outputs):
                for q in range(size):
                    weight = jacobians[first + q]
                    totals[f, groups[first + q], m] += complex(
                        weight * tangents[m, 0, 0, q], weight * tangents[m, 1, 0, q]
                    )


@compiled
def _gather(
    points: Floats, values: Floats, corners: Ids, first: int, size: int, nodes: Floats
) -> None:
    """Copy what is known of each simplex's vertices, field by field."""
    for j in range(nodes.shape[1]):
        vertices = corners[j, first : first + size]
        for field in range(len(nodes)):
            source = points[field] if field < _VALUES else values[field - _VALUES]
            target = nodes[field, j]
            for q in range(size):
                target[q] = source[vertices[q]]
            # The last block's spare places hold numbers that are computed with and not used.
            target[size:] = 0.0


@compiled
def _sort(nodes: Floats, ahead: Floats) -> None:
    """Sort each simplex's nodes by w.v: exchanges of neighbours, the same for all."""
    high, low = nodes[_HIGH], nodes[_LOW]
    for last in range(nodes.shape[1] - 1, 0, -1):
        for j in range(last):
            for q in range(_BLOCK):
                ahead[q] = (high[j, q] - high[j + 1, q]) + (low[j, q] - low[j + 1, q])
            for field in range(len(nodes)):
                left, right = nodes[field, j], nodes[field, j + 1]
                for q in range(_BLOCK):
                    x, y = left[q], right[q]
                    left[q] = y if ahead[q] > 0 else x
                    right[q] = x if ahead[q] > 0 else y


@compiled
def _start(nodes: Floats, table: Floats, tangents: Floats) -> None:
    """Write the table's first row, g(t) = exp(-i t), and its derivative along the values."""
    for j in range(nodes.shape[1]):
        real, imag = nodes[_REAL, j], nodes[_IMAG, j]
        table[0, j] = real
        table[1, j] = imag
        for m in range(len(tangents)):
            speed, d_real, d_imag = nodes[_VALUES + m, j], tangents[m, 0, j], tangents[m, 1, j]
            for q in range(_BLOCK):
                d_real[q] = imag[q] * speed[q]
                d_imag[q] = -real[q] * speed[q]


@compiled
def _gaps(nodes: Floats, gaps: Floats) -> None:
    """Write the distance of the end nodes of each entry: row [k, a] is that of a and a + k."""
    for k in range(1, len(gaps)):
        for a in range(len(gaps) - k):
            gap, high, low = gaps[k, a], nodes[_HIGH, a], nodes[_LOW, a]
            high_end, low_end = nodes[_HIGH, a + k], nodes[_LOW, a + k]
            for q in range(_BLOCK):
                gap[q] = (high_end[q] - high[q]) + (low_end[q] - low[q])


@compiled
def _divide(
    nodes: Floats, a: int, k: int, gap: Floats, scale: Floats, table: Floats, tangents: Floats
) -> None:
    """Replace entry a of the row before by the difference quotient, and its tangents."""
    for q in range(_BLOCK):
        scale[q] = 1 / max(gap[q], 1.0)  # where it is less, a series takes the place
    for part in range(2):
        entry, following = table[part, a], table[part, a + 1]
        for q in range(_BLOCK):
            entry[q] = (following[q] - entry[q]) * scale[q]
        for m in range(len(tangents)):
            slow, fast = nodes[_VALUES + m, a], nodes[_VALUES + m, a + k]
            tangent, next_tangent = tangents[m, part, a], tangents[m, part, a + 1]
            for q in range(_BLOCK):
                drift = entry[q] * (fast[q] - slow[q])
                tangent[q] = ((next_tangent[q] - tangent[q]) - drift) * scale[q]


@compiled
def _close(gaps: Floats, a: int, k: int, size: int, lanes: Ids) -> int:
    """List the simplices whose entry [k, a] needs a series; return how many there are.

    Those are where its nodes are close, unless no quotient is formed of it: where both
    entries above it, or the last of all, are series themselves. Without branches, as close
    nodes are as likely as not.
    """
    order, gap, count = len(gaps) - 1, gaps[k, a], 0
    if k == order:
        for q in range(size):
            lanes[count] = q
            count += gap[q] <= k
        return count
    whole = gaps[order, 0]
    left = gaps[k + 1, a - 1] if a > 0 else gaps[k + 1, a]
    right = gaps[k + 1, a] if a + k < order else left
    for q in range(size):
        lanes[count] = q
        divided = (whole[q] > order) & ((left[q] > k + 1) | (right[q] > k + 1))
        count += (gap[q] <= k) & divided
    return count
