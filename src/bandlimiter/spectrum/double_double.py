"""Numbers as an unevaluated sum of two doubles: about 32 digits where phases need them.

A phase w.x of size 1000 in one double is only known to 1e-13, and a difference of two such
phases to no more. Sources: Dekker, "A floating-point technique for extending the available
precision", 1971; Ogita, Rump and Oishi, "Accurate sum and dot product", 2005.
"""

import numpy as np
from numpy.typing import NDArray

from bandlimiter.tensors.compiled import compiled

Floats = NDArray[np.float64]
Pair = tuple[float, float]

_SPLITTER = 134217729.0  # 2^27 + 1: cuts a double into two halves of 26 bits


@compiled
def two_sum(a: float, b: float) -> Pair:
    """Return a + b as the rounded sum and its exact error."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


@compiled
def two_product(a: float, b: float) -> Pair:
    """Return a * b as the rounded product and its exact error."""
    product = a * b
    c = _SPLITTER * a
    a_high = c - (c - a)
    a_low = a - a_high
    c = _SPLITTER * b
    b_high = c - (c - b)
    b_low = b - b_high
    error = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
    return product, error


@compiled
def multiply(a: Pair, b: Pair) -> Pair:
    """Return a * b."""
    product, error = two_product(a[0], b[0])
    return two_sum(product, error + (a[0] * b[1] + a[1] * b[0]))


@compiled
def subtract(a: Pair, b: Pair) -> Pair:
    """Return a - b."""
    high, low = two_sum(a[0], -b[0])
    return two_sum(high, low + (a[1] - b[1]))


@compiled
def divide(a: Pair, b: Pair) -> Pair:
    """Return a / b."""
    first = a[0] / b[0]
    rest = subtract(a, multiply((first, 0.0), b))
    return two_sum(first, rest[0] / b[0])


@compiled
def simplex_determinants(vertices: Floats) -> Floats:
    """Return |det(v_1 - v_0, ..., v_n - v_0)| of each simplex [Q, n + 1, n]: [Q].

    Gaussian elimination with pivots, in double-double: right to about 1e-16 of itself for
    simplices as flat as 1e-12, where a determinant in doubles has no digit left.
    """
    count, dim = vertices.shape[0], vertices.shape[2]
    determinants = np.empty(count)
    high, low = np.empty((dim, dim)), np.empty((dim, dim))
    for q in range(count):
        for j in range(dim):
            for i in range(dim):
                high[j, i], low[j, i] = two_sum(vertices[q, j + 1, i], -vertices[q, 0, i])
        determinants[q] = abs(_eliminated(high, low))
    return determinants


@compiled
def _eliminated(high: Floats, low: Floats) -> float:
    dim = len(high)
    product = (1.0, 0.0)
    for column in range(dim):
        pivot = column
        for row in range(column + 1, dim):
            if abs(high[row, column]) > abs(high[pivot, column]):
                pivot = row
        if high[pivot, column] == 0.0:
            return 0.0
        for i in range(dim):
            high[column, i], high[pivot, i] = high[pivot, i], high[column, i]
            low[column, i], low[pivot, i] = low[pivot, i], low[column, i]
        diagonal = (high[column, column], low[column, column])
        product = multiply(product, diagonal)
        for row in range(column + 1, dim):
            factor = divide((high[row, column], low[row, column]), diagonal)
            for i in range(column, dim):
                change = multiply(factor, (high[column, i], low[column, i]))
                high[row, i], low[row, i] = subtract((high[row, i], low[row, i]), change)
    return product[0]
