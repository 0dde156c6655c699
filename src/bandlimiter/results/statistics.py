"""Rates with intervals, and the test that compares two classifiers on the same images."""

from typing import NamedTuple

from scipy.stats import binomtest


class Rate(NamedTuple):
    """A share with its 95 % Wilson interval; all None where nothing was counted."""

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
    interval = binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    return Rate(successes / trials, float(interval.low), float(interval.high))


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
    differing = only_first + only_second
    return 1.0 if differing == 0 else float(binomtest(only_first, differing).pvalue)
