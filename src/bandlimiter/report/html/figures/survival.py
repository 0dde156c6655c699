"""Accuracy over the budget: what is left at epsilon where each image's smallest length is known."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from bandlimiter.results import Row, Status, rate

_POINTS = 60
"""So many budgets a curve at most: 10,000 images have as many lengths."""


@dataclass(frozen=True)
class SurvivalCurve:
    """Images under one attack: right before, from which length on attacked, right from there.

    Attributes
    ----------
    before, after
        [N] bool.
    length
        [N] L-inf in units of 1/255; infinite where nothing was found.
    """

    before: NDArray[np.bool_]
    after: NDArray[np.bool_]
    length: NDArray[np.float64]

    def at(self, budget: float) -> int:
        """Return how many images are right where ``budget`` may be spent."""
        return int(np.where(self.length <= budget, self.after, self.before).sum())


def plain_survival(rows: Sequence[Row]) -> SurvivalCurve:
    """Return what becomes of the plain model under a minimal attack on it."""
    before = [row.plain_clean == row.label for row in rows]
    return SurvivalCurve(np.array(before), np.zeros(len(rows), bool), _lengths(rows))


def defended_survival(rows: Sequence[Row]) -> SurvivalCurve:
    """Return what becomes of a defence under a minimal attack on the plain model."""
    before = [row.defended_clean == row.label for row in rows]
    after = [row.found and _withstood(row) for row in rows]
    return SurvivalCurve(np.array(before), np.array(after), _lengths(rows))


def adaptive_survival(rows: Sequence[Row]) -> SurvivalCurve:
    """Return what becomes of a defence under a search for its own smallest budgets."""
    before = [row.defended_clean == row.label for row in rows]
    return SurvivalCurve(np.array(before), np.zeros(len(rows), bool), _lengths(rows))


def budgets_of(survivals: Sequence[SurvivalCurve], epsilon: float) -> list[float]:
    """Return budgets for the x axis, from 0 to where little happens any more.

    ``epsilon`` (units of 1/255) is among them where it lies between.
    """
    found = np.concatenate(
        [survival.length[np.isfinite(survival.length)] for survival in survivals]
    )
    # Not far beyond where the last images are lost, and not to a few that are far away.
    reached = 1.25 * float(np.quantile(found, 0.98)) if found.size else epsilon
    end = min(max(reached, epsilon / 8), 4 * epsilon)
    inside = np.unique(np.round(found[found <= end], 3))
    if inside.size > _POINTS:  # as many where much happens as where little does
        inside = np.unique(np.quantile(found[found <= end], np.linspace(0, 1, _POINTS)))
    # A rounded length may lie just below the true one, where nothing happened yet.
    inside = np.minimum(np.ceil(inside * 1000) / 1000 + 0.001, end)
    return sorted({0.0, *map(float, inside), min(epsilon, end), end})


@cache
def share(right: int, images: int) -> tuple[float, float, float]:
    """Return a share with its Wilson interval; kept, because curves ask for the same often."""
    value, low, high = rate(right, images)
    if value is None or low is None or high is None:
        return 0.0, 0.0, 1.0
    return value, low, high


def _withstood(row: Row) -> bool:
    """Whether the defence has the found image right, be it within the run's budget or not."""
    return row.model_copy(update={"within_budget": True}).status is Status.DEFENDED


def _lengths(rows: Sequence[Row]) -> NDArray[np.float64]:
    return np.array([255 * row.linf if row.found else math.inf for row in rows])
