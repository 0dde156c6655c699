"""Laws of scores, whose means are known, on which a confidence bound is most likely to err.

Each function draws independent scores [runs, count, C] in [0, 1]; beside it stand the exact means
[C] of the classes.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch

Draw = Callable[[int, int, torch.Generator], torch.Tensor]


class Law(NamedTuple):
    """Scores, their means, and whether they are votes (one 1 a point)."""

    draw: Draw
    means: list[float]
    votes: bool = False


def coin(probability: float) -> Law:
    """Two classes, one vote a point."""

    def draw(runs: int, count: int, rng: torch.Generator) -> torch.Tensor:
        heads = _uniform(runs, count, rng) < probability
        return torch.stack([heads, ~heads], dim=2).double()

    return Law(draw, [probability, 1 - probability], votes=True)


def lottery(small: float, large: float, chance: float) -> Law:
    """Two classes; the first leads by ``small``, and with a rare ``chance`` by ``large``."""

    def draw(runs: int, count: int, rng: torch.Generator) -> torch.Tensor:
        rare = _uniform(runs, count, rng) < chance
        return _from_leads(torch.where(rare, large, small).double())

    lead = small + chance * (large - small)
    return Law(draw, [(1 + lead) / 2, (1 - lead) / 2])


def spread(lead: float, power: float) -> Law:
    """Two classes; leads of +-|u|^power, u uniform, and a constant: U-shaped for powers below 1."""

    def draw(runs: int, count: int, rng: torch.Generator) -> torch.Tensor:
        u = 2 * _uniform(runs, count, rng) - 1
        return _from_leads((1 - lead) * u.sign() * u.abs().pow(power) + lead)

    return Law(draw, [(1 + lead) / 2, (1 - lead) / 2])


def winners(classes: int, lead: float) -> Law:
    """One vote a point: class 0 with an extra probability ``lead``, otherwise any class."""

    def draw(runs: int, count: int, rng: torch.Generator) -> torch.Tensor:
        drawn = torch.randint(classes, (runs, count), generator=rng)
        drawn[_uniform(runs, count, rng) < lead] = 0
        return torch.nn.functional.one_hot(drawn, classes).double()

    rest = (1 - lead) / classes
    return Law(draw, [lead + rest] + [rest] * (classes - 1), votes=True)


def softmaxes(classes: int, lead: float, spread_of_logits: float) -> Law:
    """Softmax of normal logits, exchangeable; with probability ``lead`` class 0 is sure."""

    def draw(runs: int, count: int, rng: torch.Generator) -> torch.Tensor:
        logits = torch.randn(runs, count, classes, generator=rng, dtype=torch.float64)
        scores = (spread_of_logits * logits).softmax(dim=2)
        sure = _uniform(runs, count, rng) < lead
        scores[sure] = torch.eye(classes, dtype=torch.float64)[0]
        return scores

    rest = (1 - lead) / classes
    return Law(draw, [lead + rest] + [rest] * (classes - 1))


LAWS: dict[str, Law] = {
    "votes, near tie": coin(0.501),
    "votes, nearly sure": coin(0.998),
    "votes, 30 classes": winners(30, 0.55),
    "scores, near tie": spread(0.001, 1.0),
    "scores, U-shaped": spread(0.1, 0.2),
    "scores, peaked": spread(0.2, 6.0),
    "scores, rare losses": lottery(0.3, -1.0, 0.005),
    "scores, rare gains": lottery(-0.02, 1.0, 0.02),
    "scores, 3 classes tie": softmaxes(3, 0.0, 3.0),
    "scores, 30 classes tie": softmaxes(30, 0.0, 3.0),
    "scores, 30 classes": softmaxes(30, 0.2, 3.0),
}


def _uniform(runs: int, count: int, rng: torch.Generator) -> torch.Tensor:
    return torch.rand(runs, count, generator=rng, dtype=torch.float64)


def _from_leads(leads: torch.Tensor) -> torch.Tensor:
    return torch.stack([(1 + leads) / 2, (1 - leads) / 2], dim=2)
