"""Estimates with 95 % intervals: the percentile bootstrap over images (or other subjects)."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

Floats = NDArray[np.float64]

DRAWS = 10_000


class Estimate(NamedTuple):
    """A number and the interval that 95 % of the bootstrap's values lie in."""

    value: float
    low: float
    high: float

    def __format__(self, spec: str) -> str:
        spec = spec or ".4g"
        return f"{self.value:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"


def bootstrap(statistic: Callable[..., Any], *columns: ArrayLike, seed: int = 0) -> Estimate:
    """Estimate ``statistic`` of columns [n] each, whose rows are drawn together.

    Parameters
    ----------
    statistic
        Takes arrays [..., n] and reduces the last axis.
    """
    given = [np.asarray(column, dtype=np.float64) for column in columns]
    count = len(given[0])
    rng, values = np.random.default_rng(seed), []
    for _ in range(10):  # a tenth at a time bounds the memory
        index = rng.integers(count, size=(DRAWS // 10, count))
        values.append(statistic(*(column[index] for column in given)))
    low, high = np.nanquantile(np.concatenate(values), [0.025, 0.975])
    return Estimate(float(statistic(*given)), float(low), float(high))


def mean(values: ArrayLike) -> Estimate:
    """Estimate the mean of [n]."""
    return bootstrap(_mean, values)


def ratio_of_means(above: ArrayLike, below: ArrayLike) -> Estimate:
    """Estimate mean(above) / mean(below) of paired [n]."""
    return bootstrap(lambda a, b: _mean(a) / _mean(b), above, below)


def geometric_ratio(above: ArrayLike, below: ArrayLike) -> Estimate:
    """Estimate the geometric mean of above / below, paired positive [n]."""
    logs = np.log(np.asarray(above, dtype=np.float64)) - np.log(np.asarray(below, dtype=np.float64))
    return Estimate(*np.exp(bootstrap(_mean, logs)))


def rank_correlation(first: ArrayLike, second: ArrayLike) -> Estimate:
    """Estimate Spearman's correlation of paired [n]."""
    return bootstrap(_spearman, first, second)


def _mean(values: Floats) -> Floats:
    return values.mean(axis=-1)


def _spearman(first: Floats, second: Floats) -> Floats:
    a, b = (rankdata(column, axis=-1) for column in (first, second))
    a, b = (ranks - ranks.mean(axis=-1, keepdims=True) for ranks in (a, b))
    norm = np.sqrt((a * a).sum(axis=-1) * (b * b).sum(axis=-1))
    with np.errstate(invalid="ignore"):  # one value throughout has no rank correlation
        return (a * b).sum(axis=-1) / norm
