"""Plane waves exp(-i w.v) at many points at once, right to the last digit.

A phase w.v of size 1000 in one double is only known to 1e-13, so phases are formed in
double-double and reduced with their low part. Everything here is a plain loop over points
without branches, which the compiler turns into vector instructions; calling the library's
sine and cosine for each point took several times as long.
"""

import numpy as np
from numpy.typing import NDArray

from bandlimiter.spectrum.double_double import two_product, two_sum
from bandlimiter.tensors.compiled import compiled

Floats = NDArray[np.float64]

# pi/2 in three parts of 33 bits or more, so that their products with a whole number below
# 2^20 are exact, and the polynomials for sine and cosine on [-pi/4, pi/4]: those of fdlibm
# (k_sin.c, k_cos.c, e_rem_pio2.c; Sun Microsystems 1993), errors below 2^-58.
_HALF_PI_1, _HALF_PI_2, _HALF_PI_3 = (
    1.57079632673412561417e00,
    6.07710050630396597660e-11,
    2.02226624879595063154e-21,
)
_S1, _S2, _S3, _S4, _S5, _S6 = (
    -1.66666666666666324348e-01,
    8.33333333332248946124e-03,
    -1.98412698298579493134e-04,
    2.75573137070700676789e-06,
    -2.50507602534068634195e-08,
    1.58969099521155010221e-10,
)
_C1, _C2, _C3, _C4, _C5, _C6 = (
    4.16666666666666019037e-02,
    -1.38888888888741095749e-03,
    2.48015872894767294178e-05,
    -2.75573143513906633035e-07,
    2.08757232129817482790e-09,
    -1.13596475577881948265e-11,
)

LARGEST = 1e6
"""Phases beyond this are left to the library's functions."""


@compiled
def write_phases(frequencies: Floats, f: int, axes: Floats, high: Floats, low: Floats) -> None:
    """Write w.v for all points as high + low; ``axes`` is [n, V], a row for each coordinate."""
    high[:] = 0.0
    low[:] = 0.0
    for axis in range(len(axes)):
        weight, row = frequencies[f, axis], axes[axis]
        for v in range(len(high)):
            product, error = two_product(weight, row[v])
            total, carry = two_sum(high[v], product)
            high[v] = total
            low[v] += error + carry
    for v in range(len(high)):
        high[v], low[v] = two_sum(high[v], low[v])


@compiled
def write_waves(high: Floats, low: Floats, cos: Floats, sin: Floats) -> None:
    """Write cos and sin of high + low for all points."""
    largest = 0.0
    for v in range(len(high)):
        largest = max(largest, abs(high[v]))
    if largest > LARGEST:
        for v in range(len(high)):
            c, s = np.cos(high[v]), np.sin(high[v])
            cos[v], sin[v] = c - low[v] * s, s + low[v] * c
        return
    for v in range(len(high)):
        cos[v], sin[v] = cos_sin(high[v], low[v])


@compiled
def cos_sin(high: float, low: float) -> tuple[float, float]:
    """Return cos and sin of high + low for |high| up to `LARGEST`."""
    quarter = np.rint(high * (2 / np.pi))
    rest, rest_low = two_sum(high - quarter * _HALF_PI_1, -quarter * _HALF_PI_2)
    rest, rest_low = two_sum(rest, rest_low + (low - quarter * _HALF_PI_3))
    u = rest * rest
    sin_tail = u * (_S2 + u * (_S3 + u * (_S4 + u * (_S5 + u * _S6))))
    cos_tail = u * (_C1 + u * (_C2 + u * (_C3 + u * (_C4 + u * (_C5 + u * _C6)))))
    half = 0.5 * u
    head = 1 - half  # the rounding of this difference goes to the tail
    sin = rest + (rest * u * (_S1 + sin_tail) + rest_low)
    cos = head + (((1 - head) - half) + (u * cos_tail - rest * rest_low))
    turn = np.int64(quarter) & 3
    odd = (turn & 1) == 1
    real, imag = (sin, cos) if odd else (cos, sin)
    real = -real if turn == 1 or turn == 2 else real
    imag = -imag if turn >= 2 else imag
    return real, imag
