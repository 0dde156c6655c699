"""The compiled loop: Fourier integrals of affine functions, summed over simplices.

For a simplex with vertices v_0, ..., v_d and an affine f (Hermite-Genocchi)::

    integral of f(x) exp(-i w.x) = d! volume * sum_j f(v_j) exp[z_0, ..., z_d, z_j],
    z_j = -i w.v_j

The sum over j is the derivative of exp[z_0, ..., z_d] along the values: each table entry
carries its tangent, so that one pass gives all. See `divided_differences` for the table.
"""

import numpy as np
from numpy.typing import NDArray

from bandlimiter.spectrum.double_double import row_product
from bandlimiter.tensors.compiled import compiled

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]
Ids = NDArray[np.int64]

_TERMS = 64


@compiled
def add_simplices(
    points: Floats,
    values: Floats,
    simplices: Ids,
    jacobians: Floats,
    groups: Ids,
    frequencies: Floats,
    totals: Complexes,
) -> None:
    """Add the integrals over all simplices to ``totals``, frequency by frequency.

    Parameters
    ----------
    points, values
        [V, n] and [V, m].
    simplices, jacobians
        [Q, d + 1] numbers of points, and [Q] d! times the simplices' measures.
    groups
        [Q]: the group that each simplex is summed into.
    frequencies
        [F, n]
    totals
        [F, groups, m], added to: the sums over i^(d + 1).
    """
    order, outputs = simplices.shape[1] - 1, values.shape[1]
    vertices = len(points)
    high, low = np.empty(vertices), np.empty(vertices)
    cos, sin = np.empty(vertices), np.empty(vertices)

    rank = np.empty(order + 1, dtype=np.int64)
    nodes, carries = np.empty(order + 1), np.empty(order + 1)
    speed = np.empty((order + 1, outputs))
    # Table entries and their tangents, real and imaginary parts.
    real, imag = np.empty(order + 1), np.empty(order + 1)
    d_real, d_imag = np.empty((order + 1, outputs)), np.empty((order + 1, outputs))
    h, dh = np.empty(_TERMS), np.empty((_TERMS, outputs))

    for f in range(len(frequencies)):
        for v in range(vertices):
            high[v], low[v] = row_product(frequencies, f, points, v)
        for v in range(vertices):
            cos[v], sin[v] = _cos_sin(high[v], low[v])
        for q in range(len(simplices)):
            _sort(simplices, q, high, low, rank)
            for j in range(order + 1):
                vertex = rank[j]
                nodes[j], carries[j] = high[vertex], low[vertex]
                real[j], imag[j] = cos[vertex], -sin[vertex]
                for m in range(outputs):
                    speed[j, m] = values[vertex, m]
                    # d exp(-i t) = -i exp(-i t) dt
                    d_real[j, m] = imag[j] * speed[j, m]
                    d_imag[j, m] = -real[j] * speed[j, m]
            for k in range(1, order + 1):
                for a in range(order + 1 - k):
                    gap = (nodes[a + k] - nodes[a]) + (carries[a + k] - carries[a])
                    if gap > k:
                        scale = 1 / gap
                        real[a] = (real[a + 1] - real[a]) * scale
                        imag[a] = (imag[a + 1] - imag[a]) * scale
                        for m in range(outputs):
                            drift = speed[a + k, m] - speed[a, m]
                            change = d_real[a + 1, m] - d_real[a, m]
                            d_real[a, m] = (change - real[a] * drift) * scale
                            change = d_imag[a + 1, m] - d_imag[a, m]
                            d_imag[a, m] = (change - imag[a] * drift) * scale
                    elif k == 1:
                        _close_pair(a, gap / 2, speed, real, imag, d_real, d_imag)
                    else:
                        _taylor(a, k, nodes, carries, speed, gap, real, imag, d_real, d_imag, h, dh)
            for m in range(outputs):
                totals[f, groups[q], m] += complex(
                    jacobians[q] * d_real[0, m], jacobians[q] * d_imag[0, m]
                )


@compiled
def _close_pair(
    a: int,
    half: float,
    speed: Floats,
    real: Floats,
    imag: Floats,
    d_real: Floats,
    d_imag: Floats,
) -> None:
    """Replace entry a and its tangents for two nodes at most 1 apart: the common case.

    With c their middle and h half their distance, g[t_0, t_1] = -i exp(-i c) sin(h) / h.
    """
    u = half * half
    cos = 1 - u / 2 * (
        1 - u / 12 * (1 - u / 30 * (1 - u / 56 * (1 - u / 90 * (1 - u / 132 * (1 - u / 182)))))
    )
    sinc = 1 - u / 6 * (1 - u / 20 * (1 - u / 42 * (1 - u / 72 * (1 - u / 110 * (1 - u / 156)))))
    slope = 1 - u / 10 * (1 - u / 28 * (1 - u / 54 * (1 - u / 88 * (1 - u / 130))))
    slope *= -half / 3  # the derivative of sinc
    middle_real = (real[a] + real[a + 1]) / (2 * cos)
    middle_imag = (imag[a] + imag[a + 1]) / (2 * cos)
    real[a], imag[a] = middle_imag * sinc, -middle_real * sinc
    for m in range(speed.shape[1]):
        shift = (speed[a, m] + speed[a + 1, m]) / 2 * sinc
        spread = (speed[a + 1, m] - speed[a, m]) / 2 * slope
        d_real[a, m] = -shift * middle_real + spread * middle_imag
        d_imag[a, m] = -shift * middle_imag - spread * middle_real


@compiled
def _taylor(
    a: int,
    k: int,
    nodes: Floats,
    carries: Floats,
    speed: Floats,
    gap: float,
    real: Floats,
    imag: Floats,
    d_real: Floats,
    d_imag: Floats,
    h: Floats,
    dh: Floats,
) -> None:
    """Replace entry a and its tangents by the series around the middle of the nodes."""
    outputs = speed.shape[1]
    half = gap / 2
    terms, bound = 2, 1.0
    while bound > 1e-18:  # of the first term, and one more for the tangent
        bound *= half / (terms - 1)
        terms += 1

    for m in range(terms):
        h[m] = 0
        for out in range(outputs):
            dh[m, out] = 0
    h[0] = 1
    for j in range(a, a + k + 1):
        offset = (nodes[j] - nodes[a]) + (carries[j] - carries[a]) - half
        for m in range(1, terms):
            for out in range(outputs):
                dh[m, out] += speed[j, out] * h[m - 1] + offset * dh[m - 1, out]
            h[m] += offset * h[m - 1]

    # The sum over m of (-i)^m h_m / (m + k)!: even degrees are real, odd ones imaginary.
    weight = 1.0
    for i in range(1, k + 1):
        weight /= i
    even = odd = 0.0
    for out in range(outputs):
        d_real[a, out] = d_imag[a, out] = 0
    for m in range(terms):
        signed = weight if m % 4 == 0 or m % 4 == 3 else -weight
        if m % 2 == 0:
            even += signed * h[m]
        else:
            odd += signed * h[m]
        for out in range(outputs):
            if m % 2 == 0:
                d_real[a, out] += signed * dh[m, out]
            else:
                d_imag[a, out] += signed * dh[m, out]
        weight /= m + k + 1

    middle = nodes[a] + half
    cos, sin = _cos_sin(middle, carries[a] + ((nodes[a] - middle) + half))
    turn = complex(cos, -sin)
    for _ in range(k):
        turn = complex(turn.imag, -turn.real)  # times -i
    whole = complex(even, odd) * turn
    real[a], imag[a] = whole.real, whole.imag
    for out in range(outputs):
        whole = complex(d_real[a, out], d_imag[a, out]) * turn
        d_real[a, out], d_imag[a, out] = whole.real, whole.imag


@compiled
def _cos_sin(high: float, low: float) -> tuple[float, float]:
    """Return cos and sin of high + low, for a low part within rounding of the high one."""
    cos, sin = np.cos(high), np.sin(high)
    return cos - low * sin, sin + low * cos


@compiled
def _sort(simplices: Ids, q: int, high: Floats, low: Floats, rank: Ids) -> None:
    """Write a simplex's vertices by increasing node (insertion: there are few)."""
    for j in range(len(rank)):
        vertex, place = simplices[q, j], j
        while (
            place > 0
            and (high[rank[place - 1]] - high[vertex]) + (low[rank[place - 1]] - low[vertex]) > 0
        ):
            rank[place] = rank[place - 1]
            place -= 1
        rank[place] = vertex
