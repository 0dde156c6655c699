"""Early abstention: give up an input once its label has been seen not to lead.

Against each rival a gambler bets that the label gains less than half, at its mean null of 1/2:

    D = mean over shares c of prod(1 + 2c (1/2 - y_t)).

If the label did lead this rival, D would reach 1/alpha at any time with a probability of at most
alpha (Ville): so rarely does each rival cost a leader its certificate. To give up is never
wrong in itself: an input that abstains is promised nothing. Hence a look may come whenever it
likes, and the bound at the end, computed only for those that were not given up and from all
their samples, keeps its level: the event that it is too high can only become rarer.
"""

import math

import torch

_SHARES = (0.1, 0.3, 0.7)


class Doubt:
    """Follows the gains of U inputs over J rivals each.

    Parameters
    ----------
    inputs, rivals
        U and J.
    alpha
        In (0, 1).
    device
        Where the gains will be.
    """

    def __init__(self, inputs: int, rivals: int, alpha: float, device: torch.device) -> None:
        self._bar = math.log(len(_SHARES) / alpha)
        self._shares = torch.tensor(_SHARES, dtype=torch.float64, device=device)
        self._logs = torch.zeros(inputs, rivals, len(_SHARES), dtype=torch.float64, device=device)

    def observe(self, gains: torch.Tensor) -> None:
        """Bet on the next points: [U, J, B] float64 in [0, 1]."""
        odds = (1 - 2 * gains)[..., None] * self._shares
        self._logs += torch.log1p(odds).sum(dim=2)

    def hopeless(self) -> torch.Tensor:
        """Return which inputs to give up: [U] bool."""
        return (self._logs.logsumexp(dim=2) >= self._bar).any(dim=1)

    def keep(self, rows: torch.Tensor) -> None:
        """Go on with the inputs numbered in ``rows`` alone: [V] int64."""
        self._logs = self._logs[rows]
