"""Entries of the table whose nodes lie close together: series instead of quotients.

``nodes``, ``table`` and ``tangents`` are those of `simplex_sums`; ``lanes`` are the places in
the block of the simplices concerned, and the entry replaced is that of the nodes a, ..., a + k.
"""

import numpy as np
from numpy.typing import NDArray

from bandlimiter.spectrum.phases import write_waves
from bandlimiter.tensors.compiled import compiled

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]

_HIGH, _LOW, _REAL, _IMAG, _VALUES = 0, 1, 2, 3, 4


@compiled
def close_pairs(nodes: Floats, a: int, lanes: Ids, table: Floats, tangents: Floats) -> None:
    """Two nodes at most 1 apart, the common case.

    With c their middle and h half their distance, g[t_0, t_1] = -i exp(-i c) sin(h) / h.
    """
    for q in lanes:
        gap = nodes[_HIGH, a + 1, q] - nodes[_HIGH, a, q]
        half = (gap + (nodes[_LOW, a + 1, q] - nodes[_LOW, a, q])) / 2
        u = half * half
        cos = 1 - u / 90 * (1 - u / 132 * (1 - u / 182))
        cos = 1 - u / 2 * (1 - u / 12 * (1 - u / 30 * (1 - u / 56 * cos)))
        sinc = 1 - u / 72 * (1 - u / 110 * (1 - u / 156))
        sinc = 1 - u / 6 * (1 - u / 20 * (1 - u / 42 * sinc))
        slope = 1 - u / 54 * (1 - u / 88 * (1 - u / 130))
        slope = -half / 3 * (1 - u / 10 * (1 - u / 28 * slope))  # the derivative of sinc
        real = (nodes[_REAL, a, q] + nodes[_REAL, a + 1, q]) / (2 * cos)
        imag = (nodes[_IMAG, a, q] + nodes[_IMAG, a + 1, q]) / (2 * cos)
        table[0, a, q], table[1, a, q] = imag * sinc, -real * sinc
        for m in range(len(tangents)):
            left, right = nodes[_VALUES + m, a, q], nodes[_VALUES + m, a + 1, q]
            shift, spread = (left + right) / 2 * sinc, (right - left) / 2 * slope
            tangents[m, 0, a, q] = spread * imag - shift * real
            tangents[m, 1, a, q] = -spread * real - shift * imag


@compiled
def taylor(nodes: Floats, a: int, k: int, lanes: Ids, table: Floats, tangents: Floats) -> None:
    """More nodes, at most k from the first to the last: Taylor around their middle c.

    ``exp(-i c) sum_m h_m (-i)^(m + k) / (m + k)!`` with h_m the complete homogeneous symmetric
    polynomial of degree m of the nodes' distances from c.
    """
    count = len(lanes)
    middle, wave = np.empty((2, count)), np.empty((2, count))
    offsets = np.empty((k + 1, count))
    terms = _centre(nodes, a, k, lanes, middle, offsets)
    write_waves(middle[0], middle[1], wave[0], wave[1])
    series = np.zeros((1 + len(tangents), terms, count))
    _polynomials(nodes, a, lanes, offsets, series)
    sums = np.empty((2, count))
    for row in range(len(series)):
        _sum(series[row], k, sums)
        for i in range(count):
            total = complex(sums[0, i], sums[1, i]) * complex(wave[0, i], -wave[1, i])
            for _ in range(k):
                total = complex(total.imag, -total.real)  # times -i
            if row == 0:
                table[0, a, lanes[i]], table[1, a, lanes[i]] = total.real, total.imag
            else:
                tangents[row - 1, 0, a, lanes[i]] = total.real
                tangents[row - 1, 1, a, lanes[i]] = total.imag


@compiled
def _centre(nodes: Floats, a: int, k: int, lanes: Ids, middle: Floats, offsets: Floats) -> int:
    """Write the nodes' middle, in two parts, and their distances from it.

    Returns how many terms leave less than 1e-18 of the first one, and one more for the
    tangents, where the nodes are spread widest.
    """
    widest = 0.0
    for i in range(len(lanes)):
        q = lanes[i]
        high, low = nodes[_HIGH, a, q], nodes[_LOW, a, q]
        half = ((nodes[_HIGH, a + k, q] - high) + (nodes[_LOW, a + k, q] - low)) / 2
        widest = max(widest, half)
        middle[0, i] = high + half
        middle[1, i] = low + ((high - middle[0, i]) + half)
        for j in range(k + 1):
            offset = (nodes[_HIGH, a + j, q] - high) + (nodes[_LOW, a + j, q] - low)
            offsets[j, i] = offset - half
    terms, bound = 2, 1.0
    while bound > 1e-18:
        bound *= widest / (terms - 1)
        terms += 1
    return terms


@compiled
def _polynomials(nodes: Floats, a: int, lanes: Ids, offsets: Floats, series: Floats) -> None:
    """Write h_m to row 0 of ``series``, and its derivatives along the values to the others."""
    series[0, 0] = 1.0
    speed = np.empty(len(lanes))
    for j in range(len(offsets)):
        offset = offsets[j]
        for m in range(1, series.shape[1]):
            h, below = series[0, m], series[0, m - 1]
            for i in range(len(offset)):
                h[i] += offset[i] * below[i]
        for out in range(1, len(series)):
            for i in range(len(speed)):
                speed[i] = nodes[_VALUES + out - 1, a + j, lanes[i]]
            for m in range(1, series.shape[1]):
                h, tangent, below = series[0, m - 1], series[out, m], series[out, m - 1]
                for i in range(len(speed)):
                    tangent[i] += speed[i] * h[i] + offset[i] * below[i]


@compiled
def _sum(h: Floats, k: int, sums: Floats) -> None:
    """Write the sum of (-i)^m h_m / (m + k)!: even degrees are real, odd ones imaginary."""
    sums[:] = 0.0
    weight = 1.0
    for i in range(1, k + 1):
        weight /= i
    for m in range(len(h)):
        signed = weight if m % 4 == 0 or m % 4 == 3 else -weight
        part, row = sums[m % 2], h[m]
        for i in range(len(row)):
            part[i] += signed * row[i]
        weight /= m + k + 1
