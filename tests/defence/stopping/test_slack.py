"""Early stops that allow for scores which are off: no label that another average would not give."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bandlimiter.defence.stopping import build_rule

CPU = torch.device("cpu")
POINTS, CLASSES = 19, 3


def populations(seed: int, inputs: int, off: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores [U, N, C] as the rule sees them, and averages [U, C] off by at most ``off``."""
    rng = torch.Generator().manual_seed(seed)
    scores = (torch.randn(inputs, POINTS, CLASSES, generator=rng) * 2).softmax(dim=2).double()
    scores = (scores + 0.1 * torch.rand(inputs, 1, CLASSES, generator=rng)).clamp(0, 1)
    moved = off * (2 * torch.rand(inputs, CLASSES, generator=rng).double() - 1)
    return scores, scores.mean(dim=1) + moved


def decided(stop: str, alpha: float, slack: float, scores: torch.Tensor) -> torch.Tensor:
    """Labels [U] at the decision, -1 where there is none."""
    rule = build_rule(stop, alpha, POINTS, len(scores), CLASSES, CPU, slack)
    labels = torch.full((len(scores),), -1)
    for point in scores.unbind(dim=1):
        rule.observe(point)
        now = (labels < 0) & rule.decided()
        labels = torch.where(now, rule.leaders(), labels)
    return labels


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), slack=st.sampled_from([0.01, 0.05, 0.2]))
def test_an_exact_label_is_the_other_averages_too(seed: int, slack: float) -> None:
    scores, average = populations(seed, 40, slack)
    labels = decided("exact", 0.1, slack, scores)
    assert ((labels < 0) | (labels == average.argmax(dim=1))).all()


def test_the_exact_rule_leaves_open_what_is_close() -> None:
    scores = torch.tensor([0.6, 0.4, 0.0]).double().expand(1, POINTS, CLASSES)
    assert decided("exact", 0.1, 0.09, scores).tolist() == [0]
    assert decided("exact", 0.1, 0.11, scores).tolist() == [-1]


@pytest.mark.slow
def test_an_anytime_label_is_wrong_as_seldom_as_promised() -> None:
    """The worst averages for it: the runner-up is raised, and the leader lowered, by all of d."""
    slack, alpha, runs = 0.05, 0.1, 20_000
    rng = torch.Generator().manual_seed(3)
    base = torch.tensor([[1.0, 0.0]] * 11 + [[0.0, 1.0]] * 9).double()  # means 0.55 and 0.45
    orders = torch.stack([torch.randperm(len(base), generator=rng) for _ in range(runs)])
    rule = build_rule("anytime", alpha, len(base), runs, 2, CPU, slack)
    wrong = torch.zeros(runs, dtype=torch.bool)
    for point in base[orders].unbind(dim=1):
        rule.observe(point)
        # Moved by d the two tie: class 0 is no more the label than class 1.
        wrong |= rule.decided() & (rule.leaders() == 0)
    share = float(wrong.double().mean())
    assert share <= alpha + 3 * (alpha * (1 - alpha) / runs) ** 0.5
    without = build_rule("anytime", alpha, len(base), runs, 2, CPU)
    early = torch.zeros(runs, dtype=torch.bool)
    for point in base[orders].unbind(dim=1):
        without.observe(point)
        early |= without.decided() & (without.leaders() == 0)
    assert float(early.double().mean()) > 0.9  # the slack is what keeps it open
