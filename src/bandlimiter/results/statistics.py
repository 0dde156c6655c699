"""Rates with intervals, and how two classifiers compare on the same images."""

import math
from typing import Any, NamedTuple

from bandlimiter.errors import InputError

# The two-sided 95 % point of the normal law.
_Z = 1.959963984540054


class Rate(NamedTuple):
    """A share with its 95 % Wilson interval; all None where nothing was counted."""

    value: float | None
    low: float | None
    high: float | None

    @property
    def interval(self) -> list[float] | None:
        """[low, high], as the JSON document writes it."""
        return None if self.low is None or self.high is None else [self.low, self.high]


class Difference(NamedTuple):
    """A difference of two shares with its 95 % interval; all None where nothing was counted."""

    value: float | None
    low: float | None
    high: float | None

    @property
    def interval(self) -> list[float] | None:
        """[low, high], as the JSON document writes it."""
        return None if self.low is None or self.high is None else [self.low, self.high]


def rate(successes: int, trials: int) -> Rate:
    """Return ``successes / trials`` with its Wilson 95 % interval (Wilson 1927).

    Examples
    --------
    >>> [round(number, 3) for number in rate(81, 100)]
    [0.81, 0.722, 0.875]
    >>> rate(0, 0).value is None
    True
    """
    if trials == 0:
        return Rate(None, None, None)
    from scipy.stats import binomtest  # here: it takes most of a second to import

    interval = binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    return Rate(successes / trials, float(interval.low), float(interval.high))


def rate_entries(name: str, value: Rate) -> dict[str, Any]:
    """Return a rate and its interval under the keys of the JSON document."""
    return {name: value.value, f"{name}_interval": value.interval}


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the exact two-sided p-value that two classifiers have the same accuracy.

    McNemar's test looks only at the images on which one of the two is right: under equal
    accuracy each of these favours either with probability one half.

    Parameters
    ----------
    only_first, only_second
        Images on which only the first, only the second classifier is right.

    Examples
    --------
    >>> mcnemar(0, 10) < 0.01 < mcnemar(5, 5)
    True
    """
    from scipy.stats import binomtest

    differing = only_first + only_second
    return 1.0 if differing == 0 else float(binomtest(only_first, differing).pvalue)


def paired_difference(only_first: int, only_second: int, trials: int) -> Difference:
    """Return how much larger the first classifier's accuracy is, both on the same images.

    With the score interval of Tango ("Equivalence test and confidence interval for the
    difference in proportions for the paired-sample design", Statistics in Medicine 17, 1998):
    all differences d that the score test does not reject, its variance being estimated under
    that d. So it needs no image on which the two differ: among n images that they treat
    alike it is z^2 / (n + z^2) to either side, with z = 1.96. It covers the true difference
    at least as often as it says on average over pairs of classifiers, and for single ones,
    by exact enumeration, in 0.90 of all samples of 10 images, 0.92 of 40, 0.935 of 100.

    Parameters
    ----------
    only_first, only_second
        Images on which only the first, only the second classifier is right.
    trials
        All images, also those on which both are right or both are wrong.

    Returns
    -------
    Difference
        ``value`` is (only_first - only_second) / trials, in [-1, 1].

    Raises
    ------
    InputError
        (a ValueError) for counts below zero or above ``trials`` together.

    Examples
    --------
    Airway hyper-responsiveness before and after a transplantation (Fagerland, Lydersen and
    Laake, Statistics in Medicine 33, 2014):

    >>> [round(number, 3) for number in paired_difference(1, 7, 21)]
    [-0.286, -0.517, -0.026]
    """
    if min(only_first, only_second) < 0 or only_first + only_second > trials:
        raise InputError(
            "expected counts of images on which one of two classifiers is right, at least 0 and "
            f"together at most {trials}, got {only_first} and {only_second}"
        )
    if trials == 0:
        return Difference(None, None, None)
    value = (only_first - only_second) / trials
    low = -_score_limit(only_second, only_first, trials)
    return Difference(value, low, _score_limit(only_first, only_second, trials))


def _score_limit(only_first: int, only_second: int, trials: int) -> float:
    """Return the largest difference that the score test does not reject."""
    inside, outside = (only_first - only_second) / trials, 1.0
    # Bisection: between estimate and limit no difference is rejected, beyond it every one is.
    # The estimate itself may have no variance, and is not asked.
    for _ in range(60):
        middle = (inside + outside) / 2
        rejected = _rejects(middle, only_first, only_second, trials)
        inside, outside = (inside, middle) if rejected else (middle, outside)
    return inside


def _rejects(difference: float, only_first: int, only_second: int, trials: int) -> bool:
    """Whether the counts lie more than z standard errors from ``difference``."""
    # The share with only the second right, at maximum likelihood given the difference: a
    # root of a quadratic equation (Tango 1998, eq. 25).
    linear = (2 * trials - only_first + only_second) * difference - only_first - only_second
    constant = -only_second * difference * (1 - difference)
    share = (math.sqrt(linear**2 - 8 * trials * constant) - linear) / (4 * trials)
    variance = trials * (2 * share + difference * (1 - difference))
    return (only_first - only_second - trials * difference) ** 2 > _Z**2 * variance
