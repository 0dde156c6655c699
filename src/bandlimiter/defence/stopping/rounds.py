"""Spends evaluations in rounds, on the inputs that are still undecided alone."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch

from bandlimiter.defence.stopping.rules import ExactRule, build_rule, earliest
from bandlimiter.errors import ConfigurationError

Scores = Callable[[torch.Tensor, int, int], torch.Tensor]
"""(rows [U], start, stop) -> [U, stop - start, C]: the scores of the inputs numbered in
``rows`` at their points ``start`` to ``stop - 1``, in the order of evaluation."""

_GROWTH = 0.5
"""A round adds at most this share of what an input has had: bounds what is spent in vain."""


class Answers(NamedTuple):
    """What rounds found for n inputs.

    Attributes
    ----------
    labels
        [n] int64.
    means
        [n, C] in the dtype of the scores: their mean over the points up to the decision.
        Labels and means are those of the rule stopped point by point, whatever the size of
        the rounds.
    samples
        [n] int64, evaluations spent, those of a round that came after the decision included.
    decided
        [n] bool; False where the budget ended first.
    """

    labels: torch.Tensor
    means: torch.Tensor
    samples: torch.Tensor
    decided: torch.Tensor


@dataclass(frozen=True)
class Spending:
    """What an early stop may spend.

    Attributes
    ----------
    stop, alpha
        The rule and its level; see `build_rule`.
    points
        N, of each input's full average.
    budget
        The most of them that an input gets; None is N.
    slack
        See `ExactRule`.

    Raises
    ------
    ConfigurationError
        (a ValueError) for an unknown rule, alpha outside (0, 1) or a budget outside 1 ... N.
    """

    stop: str
    alpha: float
    points: int
    budget: int | None = None
    slack: float = 0.0

    def __post_init__(self) -> None:
        earliest(self.stop, self.alpha, self.points)  # refuses what is no rule
        whole = isinstance(self.budget, int) and not isinstance(self.budget, bool)
        if self.budget is not None and not (whole and 1 <= self.budget <= self.points):
            raise ConfigurationError(
                f"expected a budget of 1 to {self.points} evaluations, or None for no bound, got "
                f"{self.budget!r}"
            )

    @property
    def most(self) -> int:
        """The most points an input gets."""
        return self.points if self.budget is None else self.budget

    @property
    def first(self) -> int:
        """How many points it takes until an input can be decided at all."""
        return earliest(self.stop, self.alpha, self.points, self.slack)

    def rule(self, inputs: int, classes: int, device: torch.device) -> ExactRule:
        """Return a new rule for so many inputs."""
        points, slack = self.points, self.slack
        return build_rule(self.stop, self.alpha, points, inputs, classes, device, slack)


def answer_in_rounds(scores: Scores, spending: Spending, rows: torch.Tensor, full: int) -> Answers:
    """Evaluate round after round until every input is decided or its budget is spent.

    The first round is as long as the earliest decision. Afterwards the undecided inputs
    share passes: a point each where they fill one, and where they are too few, more
    points of each, so that the hardware stays busy.

    Parameters
    ----------
    scores
        Evaluates points.
    spending
        The rule, and the most that an input gets.
    rows
        [n] int64: arange(n), where the work is done.
    full
        Points that fill a pass well enough.
    """
    undecided, spent = rows, 0
    rule: ExactRule | None = None
    while len(undecided):
        size = spending.first if rule is None else _round_size(spent, len(undecided), full)
        stop = min(spent + size, spending.most)
        new = scores(undecided, spent, stop)
        spent = stop
        if rule is None:
            rule = spending.rule(len(rows), new.shape[2], new.device)
            answers = _blank(rule)
        ended, labels, means = _watch(rule, new)
        answers.labels[undecided] = labels
        answers.means[undecided] = means
        answers.samples[undecided] = spent
        answers.decided[undecided] = ended
        going_on = (~ended).nonzero().flatten() if spent < spending.most else undecided[:0]
        undecided = undecided[going_on]
        rule.keep(going_on)
    return answers._replace(means=answers.means.to(new.dtype))


def _round_size(spent: int, undecided: int, full: int) -> int:
    """Return how many points each undecided input gets in the next round."""
    return max(1, min(full // undecided, int(_GROWTH * spent)))


def _watch(rule: ExactRule, new: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Show a round's scores [U, m, C] to the rule, one point after another.

    Returns which inputs are decided [U], and the leaders [U] and mean scores [U, C] at the
    decision, or at the end of the round where there is none yet.
    """
    ended = torch.zeros(len(new), dtype=torch.bool, device=new.device)
    labels, means = rule.leaders(), rule.sums
    for point in new.unbind(dim=1):
        rule.observe(point)
        labels = torch.where(ended, labels, rule.leaders())
        means = torch.where(ended[:, None], means, rule.sums / rule.seen)
        ended = ended | rule.decided()
    return ended, labels, means


def _blank(rule: ExactRule) -> Answers:
    inputs, device = len(rule.sums), rule.sums.device
    return Answers(
        labels=torch.zeros(inputs, dtype=torch.int64, device=device),
        means=torch.zeros_like(rule.sums),
        samples=torch.zeros(inputs, dtype=torch.int64, device=device),
        decided=torch.zeros(inputs, dtype=torch.bool, device=device),
    )
