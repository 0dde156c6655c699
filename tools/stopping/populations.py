"""Populations of scores on which early stopping is most likely to err.

Each function returns scores [runs, points, classes] in [0, 1], each run's points in a random
order of its own, and the class of the full average, [runs]. Where classes tie, it is drawn
among those that do: each of them may be given up no more often than alpha.
"""

from collections.abc import Callable

import torch

Population = tuple[torch.Tensor, torch.Tensor]


def from_gains(gains: torch.Tensor) -> torch.Tensor:
    """Return scores of two classes from p_0 - p_1 [runs, points] in [-1, 1]."""
    return torch.stack([(1 + gains) / 2, (1 - gains) / 2], dim=2)


def centred(gains: torch.Tensor, lead: float) -> torch.Tensor:
    """Squeeze and shift gains so that they average ``lead`` and stay in [-1, 1]."""
    gains = gains - gains.mean(dim=1, keepdim=True)
    return gains / gains.abs().amax(dim=1, keepdim=True) * (1 - lead) + lead


def near_ties(runs: int, points: int, rng: torch.Generator) -> Population:
    """Two classes whose points differ widely, and whose averages differ by 1e-3."""
    gains = 2 * torch.rand(runs, points, generator=rng, dtype=torch.float64) - 1
    return from_gains(centred(gains, 1e-3)), torch.zeros(runs, dtype=torch.int64)


def exact_ties(runs: int, points: int, rng: torch.Generator) -> Population:
    """Two classes that win the same votes, one by one opposed."""
    half = torch.rand(runs, points // 2, generator=rng, dtype=torch.float64).round(decimals=6)
    gains = torch.cat([half, -half, torch.zeros(runs, points % 2)], dim=1)
    order = torch.rand(runs, points, generator=rng).argsort(dim=1)
    return from_gains(gains.gather(1, order)), _coins(runs, 2, rng)


def equal_runners_up(runs: int, points: int, rng: torch.Generator) -> Population:
    """Five classes that win equally many votes; what is left of the points, nobody wins.

    One population, in ever new orders: its votes leave nothing else to draw.
    """
    winners = torch.arange(points).clamp(max=points // 5 * 5) % 5
    scores = torch.eye(5, dtype=torch.float64)[winners]
    scores[points // 5 * 5 :] = 0.2
    order = torch.rand(runs, points, generator=rng).argsort(dim=1)
    return scores[order], _coins(runs, 5, rng)


def low_variance(runs: int, points: int, rng: torch.Generator) -> Population:
    """Two classes that differ by a tenth at each point, and by 1e-4 on average."""
    gains = torch.randn(runs, points, generator=rng, dtype=torch.float64)
    return from_gains(0.1 * centred(gains, 1e-3)), torch.zeros(runs, dtype=torch.int64)


def u_shaped(runs: int, points: int, rng: torch.Generator) -> Population:
    """Two classes, one of which is nearly sure at each point; a lead of about one vote in all."""
    gains = 1 - 0.2 * torch.rand(runs, points, generator=rng, dtype=torch.float64).square()
    gains[:, : points // 2] *= -1
    gains = centred(gains, 1e-3)
    order = torch.rand(runs, points, generator=rng).argsort(dim=1)
    return from_gains(gains.gather(1, order)), torch.zeros(runs, dtype=torch.int64)


def one_loud_point(runs: int, points: int, rng: torch.Generator) -> Population:
    """A class that trails at all points but two, which decide for it."""
    gains = -torch.rand(runs, points, generator=rng, dtype=torch.float64)
    gains *= 1.9 / -gains[:, 2:].sum(dim=1, keepdim=True)
    gains[:, :2] = 1.0
    order = torch.rand(runs, points, generator=rng).argsort(dim=1)
    return from_gains(gains.gather(1, order)), torch.zeros(runs, dtype=torch.int64)


def _coins(runs: int, classes: int, rng: torch.Generator) -> torch.Tensor:
    return torch.randint(classes, (runs,), generator=rng)


KINDS: dict[str, Callable[[int, int, torch.Generator], Population]] = {
    "near ties": near_ties,
    "exact ties": exact_ties,
    "five equal runners-up": equal_runners_up,
    "low variance": low_variance,
    "U-shaped": u_shaped,
    "two loud points": one_loud_point,
}
