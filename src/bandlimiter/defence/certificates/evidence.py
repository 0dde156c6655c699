"""What is averaged: scores or votes, as gains in [0, 1] of the label over its rivals.

Fix the label A, chosen on samples of its own, so that all that follows is as if A had been given.
Its margin is the least, over other classes j, of E f_A - E f_j. The bound reported is the least
of one bound for each j, each at the full level alpha: if it exceeds the margin, then so does the
bound for the very j that attains it, which has a probability of at most alpha. One event, no
correction for the number of classes (an intersection-union test: "A leads all others" holds only
if all parts do).

**Scores.** For each j the gain (1 + f_A - f_j) / 2 lies in [0, 1]; `betting_bound` bounds its mean.

**Votes.** The gain is one where A comes first, else zero: a coin, for which Clopper and
Pearson's bound is exact. With a probability p for A all others together have 1 - p, so the margin
over each is at least 2p - 1. (Less than the true margin where votes are spread over several
rivals; mean scores, with a gain over each, do not lose that.)
"""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from typing_extensions import override

from bandlimiter.defence.certificates.intervals import betting_bound, clopper_pearson, stake


class Choice(NamedTuple):
    """What the selection's samples say, before the others are drawn.

    Attributes
    ----------
    labels
        [N] int64, the class with the largest mean.
    stakes
        [N, J] float64, what to bet on each gain.
    """

    labels: torch.Tensor
    stakes: torch.Tensor


class Evidence(ABC):
    """How scores at single points become gains, and gains a margin."""

    @abstractmethod
    def gains(self, shares: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the gains of each label: shares [N, B, C], labels [N] -> [N, J, B] float64."""

    @abstractmethod
    def bounds(self, gains: torch.Tensor, stakes: torch.Tensor, alpha: float) -> torch.Tensor:
        """Return lower bounds for the mean gains: [..., T] and [...] -> [...] float64."""

    def choose(self, shares: torch.Tensor, samples: int, alpha: float) -> Choice:
        """Choose labels and stakes on the selection's shares: [N, S, C]."""
        labels = shares.double().mean(dim=1).argmax(dim=1)
        return Choice(labels, stake(self.gains(shares, labels), samples, alpha))


class Scores(Evidence):
    """Mean scores in [0, 1], such as probabilities; J is C, and A's gain over itself is 1."""

    @override
    def gains(self, shares: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        every = shares.double().transpose(1, 2)
        own = _of_labels(every, labels)
        # Clamped, as a softmax in float32 may exceed 1 by its rounding.
        gains = ((1 + own - every) / 2).clamp(0, 1)
        return gains.scatter(1, labels[:, None, None].expand_as(own), 1.0)

    @override
    def bounds(self, gains: torch.Tensor, stakes: torch.Tensor, alpha: float) -> torch.Tensor:
        return betting_bound(gains, stakes, alpha)


class Votes(Evidence):
    """One vote a point, for the class that comes first there; J is 1."""

    @override
    def gains(self, shares: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return _of_labels(shares.double().transpose(1, 2), labels)

    @override
    def bounds(self, gains: torch.Tensor, stakes: torch.Tensor, alpha: float) -> torch.Tensor:
        won = gains.sum(dim=-1)
        bound = clopper_pearson(won.cpu().numpy(), gains.shape[-1], alpha)
        return torch.from_numpy(bound).to(won)


EVIDENCE: dict[str, Evidence] = {"softmax": Scores(), "majority": Votes()}
"""By the defence's vote; others have no bounds."""


def _of_labels(every: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Pick each input's label from [N, C, B]: [N, 1, B]."""
    return every.gather(1, labels[:, None, None].expand(-1, 1, every.shape[2]))
