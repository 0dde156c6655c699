r"""Sequential tests of radii: certified as soon as it is known, given up as soon as it is plain.

Let y_1, y_2, ... in [0, 1] be what independent points say for a label: votes (one where it comes
first, else zero), or gains over another class (1 + f_A - f_j) / 2. A radius R holds if the mean p
of the y_t exceeds a bar q(R), see `bandlimiter.defence.certificates.radii`; eps of the sampler is
added to it.

**Test of p <= q.** The capital of a gambler who bets on larger values,

    M_t = integral of prod(1 + l (y_s - q)) dG(l),   0 <= l <= 1 / q,

is never negative and, while p <= q, on average never grows: it reaches 1/alpha, ever, with
probability alpha at most (Ville). For votes the bets are taken as likelihood ratios, 1 +
l (1 - q) = u / q, with the prior Beta(1/2, 1/2) for u, cut to [q, 1]: then ::

    M_t = B(a + S, b + F) / B(a, b)  sf(a + S, b + F; q) / sf(a, b; q)  q^-S (1 - q)^-F

for S votes of S + F, sf being the Beta law's upper tail. Cut, since a u below q bets on smaller
values, and with those the capital grows where p < q: a prior on [0, 1] is not valid. For gains G
has a few atoms c / q, and each other class is tested by itself at the full level: the label leads
only if it leads all (an intersection-union test).

**Many radii, one level.** The radii are tested in increasing order, radius 0 (q = 1/2) first; a
radius is claimed only if its test and those of all smaller ones have rejected. A false claim means
that the first false null in this order was rejected: one event, probability alpha, however many
radii there are. Claims may be read at any time.

**Giving up.** A second test, of p >= q with the prior cut to [0, q] and a level of its own, says
that a radius does not hold, and so no larger one. Its error costs a certificate and promises
nothing.
"""

import math
from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import betainc, betaincc, betaln
from typing_extensions import override

from bandlimiter.defence.votes import VOTES

_A, _B = 0.5, 0.5
"""The prior for votes, Jeffreys': 9 to 47 % above hindsight's number of samples."""

_BETS = (0.01, 0.03, 0.1, 0.3, 0.6, 0.9)
"""Shares of the capital that bets on gains can lose."""

Floats = NDArray[np.float64]


def log_capital(won: ArrayLike, lost: ArrayLike, bar: ArrayLike) -> Floats:
    """Return log M of the test of p <= bar, after votes: [...], [...], [...] -> [...].

    Parameters
    ----------
    won, lost
        S, F >= 0.
    bar
        q in (0, 1).

    Examples
    --------
    >>> log_capital([0, 20, 20], [0, 0, 1], 0.5).round(3).tolist()
    [0.0, 12.48, 9.435]
    """
    s, f, q = (np.asarray(value, dtype=np.float64) for value in (won, lost, bar))
    return _log_ratio(s, f, q, betaincc)


def log_abstention(won: ArrayLike, lost: ArrayLike, bar: ArrayLike) -> Floats:
    """Return log M of the test of p >= bar, as `log_capital`."""
    s, f, q = (np.asarray(value, dtype=np.float64) for value in (won, lost, bar))
    return _log_ratio(s, f, q, betainc)


def _log_ratio(s: Floats, f: Floats, q: Floats, part: np.ufunc) -> Floats:
    with np.errstate(divide="ignore"):  # nothing of the prior is left there: no capital either
        kept = np.log(part(_A + s, _B + f, q)) - np.log(part(_A, _B, q))
    likelihood = betaln(_A + s, _B + f) - betaln(_A, _B)
    return np.asarray(likelihood + kept - s * np.log(q) - f * np.log1p(-q))


def highest_bar(samples: int, alpha: float, vote: str = "majority") -> float:
    """Return the largest q that ``samples`` unanimous votes, or gains of one, can reject.

    Gains are those of votes that are not one-hot, such as ``softmax``; bets on them reach a little
    less.

    Examples
    --------
    >>> round(highest_bar(1000, 1e-3), 5)
    0.99196
    """
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if tests_of(vote).unanimous(samples, middle) >= -math.log(alpha):
            low = middle
        else:
            high = middle
    return low


class SequentialTests(ABC):
    """What N inputs' points have said so far, against A bars each.

    Parameters
    ----------
    bars
        [N, A] float64 in (1/2, 1), not decreasing.
    alpha
        Level of a claim.
    give_up
        Level at which a radius is given up; 0 never does.

    Attributes
    ----------
    grid
        How many radii stand for all of them, at a bearable cost.
    by_class
        Whether each class but the label has tests of its own.
    """

    grid: ClassVar[int]
    by_class: ClassVar[bool]

    def __init__(self, bars: Floats, alpha: float, give_up: float) -> None:
        self._bars = bars
        self._sure = -math.log(alpha)
        self._plain = -math.log(give_up) if give_up else math.inf
        self._held = np.zeros(bars.shape, dtype=bool)
        self._dropped = np.zeros(bars.shape, dtype=bool)

    def observe(self, rows: NDArray[np.int64], shares: torch.Tensor, labels: torch.Tensor) -> None:
        """Take in the next points of the inputs ``rows`` [U]: shares [U, B, C], labels [U]."""
        self._add(rows, shares, labels)
        held, dropped = self._tests(rows)
        self._held[rows] |= held >= self._sure
        self._dropped[rows] |= dropped >= self._plain

    @property
    def certified(self) -> NDArray[np.bool_]:
        """[N, A], which bars the mean exceeds: those that were rejected with all before them."""
        return np.logical_and.accumulate(self._held, axis=1)

    @property
    def undecided(self) -> NDArray[np.bool_]:
        """[N, A], which bars are neither rejected nor, themselves or one before, given up."""
        return ~self.certified & ~np.logical_or.accumulate(self._dropped, axis=1)

    @staticmethod
    @abstractmethod
    def unanimous(samples: int, bar: float) -> float:
        """Return the log capital after so many points that all say nothing but the label."""

    @property
    @abstractmethod
    def means(self) -> Floats:
        """[N], of all points so far: the label's votes, or its gain over the runner-up."""

    @abstractmethod
    def _add(self, rows: NDArray[np.int64], shares: torch.Tensor, labels: torch.Tensor) -> None:
        """Keep what the points say."""

    @abstractmethod
    def _tests(self, rows: NDArray[np.int64]) -> tuple[Floats, Floats]:
        """Return the log capitals [U, A] of those who bet on p > q, and on p < q."""


class Votes(SequentialTests):
    """One vote per point, for the class that comes first there."""

    grid, by_class = 200, False

    def __init__(self, bars: Floats, alpha: float, give_up: float, classes: int) -> None:
        super().__init__(bars, alpha, give_up)
        self._won, self._lost = np.zeros((2, len(bars)), dtype=np.int64)

    @staticmethod
    @override
    def unanimous(samples: int, bar: float) -> float:
        return float(log_capital(samples, 0, bar))

    @property
    @override
    def means(self) -> Floats:
        return np.asarray(self._won / np.maximum(self._won + self._lost, 1))

    @override
    def _add(self, rows: NDArray[np.int64], shares: torch.Tensor, labels: torch.Tensor) -> None:
        won = (shares.argmax(dim=2) == labels[:, None]).sum(dim=1).cpu().numpy()
        self._won[rows] += won
        self._lost[rows] += shares.shape[1] - won

    @override
    def _tests(self, rows: NDArray[np.int64]) -> tuple[Floats, Floats]:
        counts = self._won[rows, None], self._lost[rows, None]
        held = log_capital(*counts, self._bars[rows])
        return held, log_abstention(*counts, self._bars[rows])


class Scores(SequentialTests):
    """Scores in [0, 1], such as probabilities, of which each class has a mean."""

    grid, by_class = 40, True

    def __init__(self, bars: Floats, alpha: float, give_up: float, classes: int) -> None:
        super().__init__(bars, alpha, give_up)
        shape = (*bars.shape, classes, len(_BETS))
        self._up, self._down = np.zeros((2, *shape))
        self._gained, self._count = np.zeros((len(bars), classes)), np.zeros(len(bars))

    @staticmethod
    @override
    def unanimous(samples: int, bar: float) -> float:
        logs = samples * np.log1p(np.array(_BETS) * (1 / bar - 1))
        return float(np.logaddexp.reduce(logs)) - math.log(len(_BETS))

    @property
    @override
    def means(self) -> Floats:
        return np.asarray(self._gained.min(axis=1) / np.maximum(self._count, 1))

    @override
    def _add(self, rows: NDArray[np.int64], shares: torch.Tensor, labels: torch.Tensor) -> None:
        every = shares.double().cpu().numpy()
        chosen = labels.cpu().numpy()[:, None, None]
        own = np.take_along_axis(every, chosen, axis=2)
        # Clipped, as a softmax in float32 may exceed 1 by its rounding.
        gains = np.clip((1 + own - every) / 2, 0, 1)
        np.put_along_axis(gains, chosen, 1.0, axis=2)  # over itself the label gains all
        self._gained[rows] += gains.sum(axis=1)
        self._count[rows] += gains.shape[1]
        for place in range(self._bars.shape[1]):
            bars = self._bars[rows, place][:, None, None]
            for each, bet in enumerate(_BETS):
                # 1 + l (y - q) with l = bet / q, and to give up l = -bet / (1 - q).
                up = np.log1p(bet * (gains / bars - 1)).sum(axis=1)
                down = np.log1p(bet * ((1 - gains) / (1 - bars) - 1)).sum(axis=1)
                self._up[rows, place, :, each] += up
                self._down[rows, place, :, each] += down

    @override
    def _tests(self, rows: NDArray[np.int64]) -> tuple[Floats, Floats]:
        count = math.log(len(_BETS))
        up, down = (np.logaddexp.reduce(logs[rows], axis=3) for logs in (self._up, self._down))
        return up.min(axis=2) - count, down.max(axis=2) - count


def tests_of(vote: str) -> type[Votes] | type[Scores]:
    """Return the tests for the points' shares under a vote that has them, by its name."""
    return Votes if VOTES[vote].one_hot else Scores
