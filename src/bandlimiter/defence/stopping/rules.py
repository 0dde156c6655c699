"""When the leader of a part of the points is the leader of all of them.

Each of an input's N points gives every class a score in [0, 1]. The rules below see the
scores one point at a time, in an order drawn uniformly at random and independently of the
input, and say when the class that leads may be announced as the largest of the full average.

**Exact.** After t points, a lead in the sum of scores that exceeds N - t cannot be lost.

**Anytime**, at level alpha. Fix a class j, and suppose that it is an argmax of the full
average. Before point t, let A be the class that leads so far (it may change from point to
point). Bet that A gains on j:

    y_t = (p_A - p_j + 1) / 2, a number in [0, 1].

Over all N points y averages at most 1/2, since j is an argmax. Given what was seen, the next
point is uniform among the N - t + 1 that are left, so the mean of y_t is at most

    mu_t = (N / 2 - S) / (N - t + 1),  S = the sum of (p_A - p_j + 1) / 2 over the points seen.

A gambler who starts with 1 and bets a share c of the capital in [0, 1) holds, after y_t,

    capital * (1 + c / mu_t * (y_t - mu_t)):

never negative, and on average no more than before. Such a capital is a nonnegative
supermartingale; so is a fixed mixture of capitals with different c, and A may change, as
each bet is placed before its point is seen. By Ville's inequality it ever reaches 1 / alpha
with probability at most alpha. The rule announces A when the capital against *every* other
class has reached 1 / alpha. It is wrong only if the capital against the true argmax has:
probability at most alpha. There is one such event, so nothing is paid for the number of
classes. With several argmaxes (a tie), each of them is rejected with probability at most
alpha, whichever the full average would name.

Where mu_t < 0, j cannot be an argmax any more: that is the exact rule. The mixture keeps
half of the capital on the boldest bet, so that where every point agrees the answer comes at
most one point after the earliest that bets on a leader allow (at 91 points and alpha = 0.001 or
0.01, at that very point), and spreads the rest over milder ones, for inputs whose leader gains
less and less steadily.

Sources: betting without replacement, Waudby-Smith and Ramdas 2020 (arXiv:2006.04347);
the predictable leader: the design notes of this project (design/stopping.md).
"""

from functools import cache

import torch

from bandlimiter.errors import ConfigurationError

BETS = (0.15, 0.4, 0.7, 0.9, 0.99)
"""Shares c of the capital that are bet, side by side."""

WEIGHTS = (0.05, 0.1, 0.15, 0.2, 0.5)
"""How the capital is divided among them at the start."""

# A float32 score can lie outside [0, 1] by a part in 1e7, and sums of them are rounded: a lead
# counts as safe only beyond this, a point.
_ROUNDING = 1e-6

# For the same reason y_t can be -6e-8. Where mu_t is larger than this, that leaves every capital
# positive, at bets up to 0.99; where it is smaller, the rule does not bet.
_LEAST_MEAN = 2e-5

_RICH = 1e100
"""Bounds a capital; bounding it from above keeps the guarantee."""


class ExactRule:
    """Announces the leader when no other class can overtake it any more.

    Follows U inputs side by side.

    Parameters
    ----------
    points
        N, the number of points of each input's full average.
    inputs
        U.
    classes
        C, at least two.
    device
        Where the scores will be.
    slack
        By how much the full average that decides may differ, in each class, from the average of
        these scores; see `bandlimiter.evaluation.screened`. Above 0, an input may be undecided in
        the end.
    """

    def __init__(
        self, points: int, inputs: int, classes: int, device: torch.device, slack: float = 0.0
    ) -> None:
        self.points, self.seen, self.slack = points, 0, slack
        self.sums = torch.zeros(inputs, classes, dtype=torch.float64, device=device)

    def observe(self, scores: torch.Tensor) -> None:
        """Add each input's scores at its next point: [U, C] in [0, 1]."""
        self.sums += scores
        self.seen += 1

    def leaders(self) -> torch.Tensor:
        """Return the class that leads, the first of several: [U] int64."""
        return self.sums.argmax(dim=1)

    def rejected(self) -> torch.Tensor:
        """Return the classes that are held not to be the full average's: [U, C] bool."""
        leads = self.sums.amax(dim=1, keepdim=True) - self.sums
        # The slack is of the full averages: of the points seen, more may be off.
        safe = (self.points - self.seen) + 2 * self.slack * self.points
        return leads > safe + _ROUNDING * self.points

    def decided(self) -> torch.Tensor:
        """Return whether the leader of each input may be announced: [U] bool."""
        if self.seen == self.points and not self.slack:
            return torch.ones(len(self.sums), dtype=torch.bool, device=self.sums.device)
        rejected = self.rejected()
        rejected.scatter_(1, self.leaders()[:, None], True)
        return rejected.all(dim=1)

    def keep(self, rows: torch.Tensor) -> None:
        """Go on with the inputs numbered in ``rows`` alone: [V] int64."""
        self.sums = self.sums[rows]


class AnytimeRule(ExactRule):
    """Announces the leader when a bettor against it would have grown rich.

    Parameters
    ----------
    points, inputs, classes, device, slack
        See `ExactRule`.
    alpha
        In (0, 1): the probability, over the order of the points, of announcing a class
        that is not the full average's is at most this, for each input.
    """

    def __init__(
        self,
        points: int,
        inputs: int,
        classes: int,
        device: torch.device,
        slack: float = 0.0,
        *,
        alpha: float,
    ) -> None:
        super().__init__(points, inputs, classes, device, slack)
        self._alpha = alpha
        self._bets = torch.tensor(BETS, dtype=torch.float64, device=device)
        self._weights = torch.tensor(WEIGHTS, dtype=torch.float64, device=device)
        self._capital = torch.ones(inputs, classes, len(BETS), dtype=torch.float64, device=device)

    def observe(self, scores: torch.Tensor) -> None:
        """Bet on each input's next point, then add its scores: [U, C] in [0, 1]."""
        if self.seen > 0:  # before the first point nobody leads
            self._bet(scores.double())
        super().observe(scores)

    def _bet(self, scores: torch.Tensor) -> None:
        leader = self.leaders()[:, None]
        gains = (scores.gather(1, leader) - scores + 1) / 2
        seen = (self.sums.gather(1, leader) - self.sums + self.seen) / 2
        mean = (self.points * (0.5 + self.slack) - seen) / (self.points - self.seen)
        # Where the mean under the null is zero or less there is nothing to bet against: the
        # class is out for certain, or will be when the rounding allows to say so.
        fair = mean > _LEAST_MEAN
        edge = torch.where(fair, gains / mean.clamp_min(_LEAST_MEAN) - 1, 0)
        self._capital *= 1 + self._bets * edge[..., None]
        self._capital.clamp_(max=_RICH)

    def rejected(self) -> torch.Tensor:
        """Return the classes that are held not to be the full average's: [U, C] bool."""
        return super().rejected() | (self._capital @ self._weights >= 1 / self._alpha)

    def keep(self, rows: torch.Tensor) -> None:
        """Go on with the inputs numbered in ``rows`` alone: [V] int64."""
        super().keep(rows)
        self._capital = self._capital[rows]


def require_level(alpha: float) -> None:
    """Refuse (ConfigurationError) an alpha outside (0, 1)."""
    if not 0 < alpha < 1:
        raise ConfigurationError(
            f"expected alpha in (0, 1), the probability of a wrong label, got {alpha}"
        )


def build_rule(
    stop: str,
    alpha: float,
    points: int,
    inputs: int,
    classes: int,
    device: torch.device,
    slack: float = 0.0,
) -> ExactRule:
    """Return the rule called ``"exact"`` or ``"anytime"``.

    Raises
    ------
    ConfigurationError
        (a ValueError) for another name, or alpha outside (0, 1).
    """
    require_level(alpha)
    if stop == "exact":
        return ExactRule(points, inputs, classes, device, slack)
    if stop == "anytime":
        return AnytimeRule(points, inputs, classes, device, slack, alpha=alpha)
    raise ConfigurationError(f"expected stop never, exact or anytime; got {stop!r}")


@cache
def earliest(stop: str, alpha: float, points: int, slack: float = 0.0) -> int:
    """Return after how many points such a rule can decide at the earliest.

    All points give everything to one class, so that no other scores decide sooner.

    Examples
    --------
    >>> earliest("exact", 1e-3, 91), earliest("anytime", 1e-3, 91), earliest("anytime", 1e-2, 91)
    (46, 11, 8)
    """
    rule = build_rule(stop, alpha, points, 1, 2, torch.device("cpu"), slack)
    while rule.seen < points and not rule.decided().all():
        rule.observe(torch.tensor([[1.0, 0.0]]))
    return rule.seen
