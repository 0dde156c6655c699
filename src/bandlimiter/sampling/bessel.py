"""The one function behind the ball's and the sphere's filter: J_nu with its decay divided out.

    g_nu(z) = Gamma(nu + 1) (2/z)^nu J_nu(z) = 0F1(; nu + 1; -z^2/4),    g_nu(0) = 1

(DLMF 10.16.9). Written down as it stands, Gamma overflows and J_nu underflows from a few
hundred dimensions on. Three forms share the work:

- small z: the series of 0F1, whose terms then stay within a factor 120 of the sum;
- large nu, z well below nu: Debye's expansion, with Stirling's formula for Gamma divided
  into it by hand, so that nothing large is left;
- otherwise J_nu is a number of ordinary size, and the factor before it goes through logs.
"""

import math
from fractions import Fraction
from functools import cache

import numpy as np
from numpy.polynomial.polynomial import polyval
from numpy.typing import NDArray
from scipy.special import gammaln, jv

# From here on Debye's nine terms are exact to a few 1e-14 for z < 0.75 nu (they are not at
# nu = 100: 7e-10); up to here J_nu does not underflow where the series ends.
_LARGE_ORDER = 300
_DEBYE_TERMS = 9
# Largest term 3.1^k / k!; the fortieth is below 1e-27.
_SERIES_TERMS = 40
# scipy's J_nu loses its phase above, and there the leading term of Hankel's expansion is
# exact to (4 nu^2 - 1) / (8 z): below 1e-12 for every nu whose g_nu does not underflow.
_HUGE = 1e15


def bessel_ratio(nu: float, z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return g_nu(z) = Gamma(nu + 1) (2/z)^nu J_nu(z).

    The error is at most 1e-11 of the value (beyond z = nu: of the envelope of the
    oscillation, in which the zeros lie), for nu = -1/2 to 75264; values below the smallest
    double are 0.

    Parameters
    ----------
    nu
        Order: a multiple of 1/2, at least -1/2.
    z
        [...], finite, at least 0.

    Returns
    -------
    numpy.ndarray
        [...] float64 in [-1, 1].
    """
    small = z <= 2.5 * math.sqrt(2 * (nu + 1))
    middle = ~small & (z < 0.75 * nu) if nu >= _LARGE_ORDER else np.zeros_like(small)
    forms = [_series, _debye, _through_logs]
    ratio: NDArray[np.float64] = np.piecewise(z, [small, middle], forms, nu)
    return ratio


def _series(z: NDArray[np.float64], nu: float) -> NDArray[np.float64]:
    """Sum (-z^2/4)^k / (k! (nu + 1)_k): DLMF 10.2.2 over its first term."""
    minus_quarter_square = -np.square(z) / 4
    term = np.ones_like(z)
    total = np.ones_like(z)
    for k in range(1, _SERIES_TERMS + 1):
        term *= minus_quarter_square / (k * (nu + k))
        total += term
    return total


def _debye(z: NDArray[np.float64], nu: float) -> NDArray[np.float64]:
    """Debye's expansion (DLMF 10.19.3) over the same expansion as z -> 0.

    With z = nu sech(a) and s = tanh(a), the exponent nu (s - a) - nu log(z / 2 nu) - nu is
    nu (-d - log(1 - d/2)), d = 1 - s = (z/nu)^2 / (1 + s): no difference of near equals.
    """
    ratio_square = np.square(z / nu)
    s = np.sqrt(1 - ratio_square)
    d = ratio_square / (1 + s)
    decay: NDArray[np.float64] = np.exp(nu * (-d - np.log1p(-d / 2))) / np.sqrt(s)
    return decay * _debye_sum(1 / s, nu) / _debye_sum(np.ones(()), nu)


def _through_logs(z: NDArray[np.float64], nu: float) -> NDArray[np.float64]:
    """J_nu from scipy, times a factor that alone would overflow."""
    bessel = np.where(z < _HUGE, jv(nu, np.minimum(z, _HUGE)), _hankel(z, nu))
    if nu < _LARGE_ORDER:
        log_factor = gammaln(nu + 1) - nu * np.log(z / 2)
    else:  # Stirling's formula first: both terms above reach 1e6, and their ends are lost
        log_gamma_over_power = -nu * (1 + np.log(z / nu / 2))
        correction = np.log(_debye_sum(np.ones(()), nu))
        log_factor = log_gamma_over_power + math.log(2 * math.pi * nu) / 2 - correction
    with np.errstate(divide="ignore"):  # J_nu = 0 has the logarithm -inf, and gives 0 again
        ratio: NDArray[np.float64] = np.exp(np.log(np.abs(bessel)) + log_factor)
    return np.copysign(ratio, bessel)


def _hankel(z: NDArray[np.float64], nu: float) -> NDArray[np.float64]:
    """Leading term sqrt(2 / (pi z)) cos(z - nu pi/2 - pi/4) of DLMF 10.17.3.

    2 nu + 1 is a whole number of eighths of a turn, so z's own phase is not rounded.
    """
    phase = (round(2 * nu + 1) % 8) * math.pi / 4
    wave = np.cos(z) * math.cos(phase) + np.sin(z) * math.sin(phase)
    return np.sqrt(2 / math.pi / np.maximum(z, 1)) * wave


def _debye_sum(p: NDArray[np.float64], nu: float) -> NDArray[np.float64]:
    """Sum U_k(p) / nu^k over the terms in use; at p = 1 it is Stirling's 1 / (1 + 1/12nu ...)."""
    total = np.zeros_like(p)
    for k, coefficients in enumerate(debye_polynomials(_DEBYE_TERMS)):
        total = total + polyval(p, [float(c) for c in coefficients]) / nu**k
    return total


@cache
def debye_polynomials(count: int) -> tuple[tuple[Fraction, ...], ...]:
    """Return the coefficients, lowest power first, of Debye's U_0 ... U_(count - 1).

    By the recurrence of DLMF 10.41.9, in exact fractions::

        U_(k+1)(p) = p^2 (1 - p^2) U_k'(p) / 2 + integral_0^p (1 - 5 t^2) U_k(t) dt / 8

    Examples
    --------
    >>> [str(c) for c in debye_polynomials(2)[1]]  # (3 p - 5 p^3) / 24
    ['0', '1/8', '0', '-5/24']
    """
    polynomials: list[tuple[Fraction, ...]] = [(Fraction(1),)]
    while len(polynomials) < count:
        following = [Fraction(0)] * (len(polynomials[-1]) + 3)
        for power, c in enumerate(polynomials[-1]):
            following[power + 1] += c * power / 2 + c / (8 * (power + 1))
            following[power + 3] -= c * power / 2 + 5 * c / (8 * (power + 3))
        polynomials.append(tuple(following))
    return tuple(polynomials)
