"""From a margin to a radius: how far an input can move before its average can change its mind.

Let U be the law of the offsets, and let the label A lead every other class j by at least m on
average: E f_A(x + U) - E f_j(x + U) >= m, all scores in [0, 1]. Look at the one number
k = (1 + f_A - f_j) / 2, which lies in [0, 1] everywhere and has E k(x + U) >= (1 + m) / 2. At
another input x' the label can only be lost to j if E k(x' + U) <= 1/2.

**Ball.** A function with values in [0, 1] changes its mean by at most the total variation TV
between the two laws, so the label stays while m > 2 TV. Two balls of radius r in n dimensions,
whose centres lie d apart, share all but two caps beyond the plane halfway, of height r - d/2::

    TV(d) = I_{(d / 2r)^2}(1/2, (n + 1) / 2),      R = 2r sqrt(I^-1(1/2, (n + 1) / 2; m / 2)),

with I the regularised incomplete beta function. With t = d / 2r this is the same as
R = r (2 - 4 I^-1((n + 1) / 2, (n + 1) / 2; 1/2 - m / 4)), since I_{t^2}(1/2, b) =
1 - 2 I_{(1 - t) / 2}(b, b), but loses nothing where m is small. It is tight: take f_A = 1 where
only the ball around x reaches, 0 where only the other does, and fill as much of what they share
as m says.

**Gaussian**, standard deviation s a coordinate. Among all k in [0, 1] of that mean the
half-space loses most (Neyman and Pearson; Cohen, Rosenfeld and Kolter 2019 for votes, Salman et
al. 2019 for scores), and reaches 1/2 at the distance ::

    R = s PhiInv((1 + m) / 2) = s sqrt(2) erfinv(m).

Cohen's rule for two classes' probabilities p and q, s/2 (PhiInv(p) - PhiInv(q)), needs both. Of all
pairs with p - q = m, it is least for p = (1 + m) / 2 = 1 - q: there it is the R above, and to both
sides of it it grows, as d/dp [PhiInv(p) - PhiInv(p - m)] = 1 / phi(PhiInv(p)) -
1 / phi(PhiInv(p - m)) has the sign of |p - 1/2| - |p - m - 1/2|. The margin alone therefore gives
what can be said from a margin.
"""

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betainc, betaincinv, erfinv, ndtr

from bandlimiter.errors import ConfigurationError

Floats = NDArray[np.float64]


def ball_distance(distance: ArrayLike, radius: float, dim: int) -> Floats:
    """Return the total variation between two uniform balls: [...] distances -> [...] in [0, 1].

    Parameters
    ----------
    distance
        d >= 0 between the centres; from 2 ``radius`` on the balls are apart, and TV is 1.
    radius
        r > 0 of both.
    dim
        n >= 1.

    Examples
    --------
    >>> ball_distance([0.0, 0.5, 3.0], radius=1.0, dim=1).tolist()  # intervals [-1, 1]
    [0.0, 0.25, 1.0]
    """
    half = np.minimum(np.asarray(distance, dtype=np.float64) / (2 * radius), 1)
    return np.asarray(betainc(0.5, (dim + 1) / 2, np.square(half)), dtype=np.float64)


def ball_radius(margin: ArrayLike, radius: float, dim: int) -> Floats:
    """Return the certified radius of averaging over a ball: [...] margins -> [...].

    Parameters
    ----------
    margin
        m in [-1, 1], the label's mean score less that of the strongest other class; 0 or less
        gives 0.
    radius
        r > 0 of the average; R is in the same units.
    dim
        n >= 1, coordinates of an input.

    Returns
    -------
    numpy.ndarray
        R in [0, 2r): whatever the classifier, its average has the same label at all inputs
        nearer than R (L2). There are classifiers for which this ends at R.

    Examples
    --------
    >>> ball_radius([0.8, 0.98, 1.0], radius=6.0, dim=3072).round(4).tolist()
    [0.1135, 0.1426, 0.146]
    """
    lead = np.clip(np.asarray(margin, dtype=np.float64), 0, 1)
    return np.asarray(2 * radius * np.sqrt(betaincinv(0.5, (dim + 1) / 2, lead / 2)))


def gaussian_radius(margin: ArrayLike, radius: float, dim: int) -> Floats:
    """Return the certified radius of averaging over normal offsets: [...] margins -> [...].

    Parameters
    ----------
    margin, dim
        See `ball_radius`.
    radius
        r > 0, the root-mean-square length of an offset: r / sqrt(n) a coordinate, the law of
        the sampler ``gaussian``.

    Returns
    -------
    numpy.ndarray
        R >= 0, infinite for a margin of 1; otherwise as `ball_radius`.

    Examples
    --------
    >>> gaussian_radius([0.8, 0.98], radius=6.0, dim=3072).round(4).tolist()
    [0.1387, 0.2518]
    """
    lead = np.clip(np.asarray(margin, dtype=np.float64), 0, 1)
    return np.asarray(radius / math.sqrt(dim) * math.sqrt(2) * erfinv(lead))


RADII: Mapping[str, Callable[[ArrayLike, float, int], Floats]] = {
    "ball": ball_radius,
    "gaussian": gaussian_radius,
}
"""The samplers whose average can be certified, by name."""


def certified_radius(sampler: str, margin: ArrayLike, radius: float, dim: int) -> Floats:
    """Return `ball_radius` or `gaussian_radius`, by the sampler's name.

    Raises
    ------
    ConfigurationError
        (a ValueError) for a sampler without a certificate.
    """
    return RADII[_known(sampler)](margin, radius, dim)


def noise_length(sampler: str, sigma: float, dim: int) -> float:
    """Return the radius r of a law whose coordinates have the standard deviation ``sigma``.

    sigma sqrt(n) for the Gaussian, of which r is the root-mean-square length, and
    sigma sqrt(n + 2) for the ball, whose coordinates have the variance r^2 / (n + 2).

    Examples
    --------
    >>> noise_length("gaussian", 0.25, 3072), noise_length("ball", 0.25, 2)
    (13.856406460551018, 0.5)
    """
    return sigma * math.sqrt(dim + 2 * (_known(sampler) == "ball"))


def bar(sampler: str, distance: ArrayLike, sigma: float, dim: int) -> Floats:
    """Return what a label's mean has to exceed to hold within a distance: [...] -> [...].

    The mean is that of its votes, or of its gains over each runner-up, (1 + f_A - f_j) / 2:
    Phi(R / sigma) for the Gaussian, 1/2 + TV(R) for the ball. The inverse of `certified_radius`.

    Parameters
    ----------
    sampler
        ``gaussian`` or ``ball``.
    distance
        R >= 0, in the units of sigma.
    sigma
        Standard deviation of a coordinate.
    dim
        n >= 1.

    Examples
    --------
    >>> bar("gaussian", [0.0, 0.25], 0.25, 3072).round(4).tolist()
    [0.5, 0.8413]
    """
    if _known(sampler) == "gaussian":
        return np.asarray(ndtr(np.asarray(distance, dtype=np.float64) / sigma))
    return 0.5 + ball_distance(distance, noise_length(sampler, sigma, dim), dim)


def _known(sampler: str) -> str:
    if sampler not in RADII:
        raise ConfigurationError(f"expected a sampler of {', '.join(RADII)}; got {sampler!r}")
    return sampler
