"""Lower confidence bounds for the mean of numbers in [0, 1], each valid for any law.

**Betting** (Waudby-Smith and Ramdas 2020, arXiv:2010.09686). To reject "the mean is m", stake on
independent y_1, ..., y_T against it: the capital

    K(m) = 1/2 prod(1 + s (y_t - m)) + 1/2 prod(1 + s/2 (y_t - m)),   s = min(lambda, 0.99 / m)

is never negative and, where the mean is m or less, on average at most 1. So K(m) >= 1/alpha has a
probability of at most alpha (Markov; Ville, had we looked at every t). Each factor falls as m
grows (where s = 0.99 / m it is 1 - 0.99 + 0.99 y_t / m), so K does, and the m that are rejected
form an interval that starts at 0: its end, found by halving, is the bound.

The stake lambda may be anything that is known before the y_t are drawn. `stake` takes it from
the variance among samples of their own, the ones that chose the label. Half of the capital bets
half as much, for the case that these samples have missed rare small values.
"""

import math

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv

_BOLDEST = 0.99
"""Share of the capital that the largest stake can lose."""

_HALVINGS = 30
"""Leave the bound uncertain by 1e-9, to its safe side."""


def clopper_pearson(successes: ArrayLike, trials: int, alpha: float) -> NDArray[np.float64]:
    """Return the exact lower bound for a probability (Clopper and Pearson 1934): [...] -> [...].

    Parameters
    ----------
    successes
        0 ... ``trials``.
    trials
        Independent ones, at least one.
    alpha
        In (0, 1): the bound exceeds the probability with probability at most alpha.

    Examples
    --------
    >>> clopper_pearson([0, 1000], 1000, 1e-3).round(6).tolist()  # unanimous: alpha^(1/1000)
    [0.0, 0.993116]
    """
    count = np.asarray(successes, dtype=np.float64)
    bound = betaincinv(np.maximum(count, 1), trials - np.maximum(count, 1) + 1, alpha)
    return np.where(count > 0, bound, 0.0)


def stake(pilot: torch.Tensor, samples: int, alpha: float) -> torch.Tensor:
    """Return what to bet on ``samples`` numbers like those of ``pilot``: [..., S] -> [...].

    The stake that is best where the bound lies close to the mean, sqrt(2 log(1/alpha) / (v T)),
    with v the variance among the pilot's numbers and one more that is 1/2 away from all.
    """
    count = pilot.shape[-1] + 1
    mean = (pilot.sum(dim=-1, keepdim=True) + 0.5) / count
    variance = ((pilot - mean).square().sum(dim=-1) + 0.25) / count
    return (2 * math.log(1 / alpha) / (variance * samples)).sqrt()


def betting_bound(values: torch.Tensor, stakes: torch.Tensor, alpha: float) -> torch.Tensor:
    """Return lower bounds for the means of rows of independent numbers: [..., T] -> [...].

    Parameters
    ----------
    values
        [..., T] float64 in [0, 1], T >= 1, each row independent draws of one law.
    stakes
        [...] float64 > 0, chosen without looking at ``values``: see `stake`.
    alpha
        In (0, 1).

    Returns
    -------
    torch.Tensor
        [...] float64 in [0, 1): for each row, the bound exceeds the mean with probability at
        most alpha, whatever the law.

    Examples
    --------
    >>> ones = torch.ones(1000, dtype=torch.float64)
    >>> round(float(betting_bound(ones, stake(ones[:100], 1000, 1e-3), 1e-3)), 4)
    0.9924
    """
    low, high = torch.zeros_like(stakes), torch.ones_like(stakes)
    for _ in range(_HALVINGS):
        mean = (low + high) / 2
        rejected = _log_capital(values, stakes, mean) >= math.log(1 / alpha)
        low = torch.where(rejected, mean, low)
        high = torch.where(rejected, high, mean)
    return low


def _log_capital(values: torch.Tensor, stakes: torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
    bold = torch.minimum(stakes, _BOLDEST / mean)[..., None] * (values - mean[..., None])
    halves = torch.stack([torch.log1p(bold).sum(dim=-1), torch.log1p(bold / 2).sum(dim=-1)])
    return halves.logsumexp(dim=0) - math.log(2)
