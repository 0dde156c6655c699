"""How large a perturbation must be: smallest budgets found, and accuracy over the budget."""

import math
from collections.abc import Sequence
from statistics import median
from typing import Any

from bandlimiter.results.rows import NONE, SMALLEST, Row

CURVE = (0.0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 2, 3, 4, 6, 8, 12, 16, 32, 64)
"""Budgets in units of 1/255 at which the accuracy is stated."""


def smallest_budgets(rows: Sequence[Row]) -> dict[str, dict[str, Any]] | None:
    """Return, for each defence, what the search for smallest budgets found; None without one.

    Of each defence: ``median`` with ``median_interval`` (over images that it has right clean;
    pixels; null where the search did not find half of them), ``found``, ``attacked``, and
    ``curve``: pairs [epsilon, accuracy] over all images, misclassified ones counting as wrong
    from 0 on.
    """
    searched = [row for row in rows if row.adaptive and row.attack == SMALLEST]
    if not searched:
        return None
    names = dict.fromkeys(row.defence for row in searched)
    by_name = {name: [row for row in searched if row.defence == name] for name in names}
    plain = {row.image: row.linf for row in by_name.get(NONE, []) if row.found}
    return {
        name: {**_of(own), **({} if name == NONE else _ratio(own, plain))}
        for name, own in by_name.items()
    }


def _ratio(rows: Sequence[Row], plain: dict[int, float]) -> dict[str, Any]:
    """Pair by image: medians over different images would mix who is attacked with how easily."""
    both = [row for row in rows if row.found and row.image in plain]
    ratios = sorted(row.linf / plain[row.image] for row in both)
    return {
        "ratio": median(ratios) if ratios else None,
        "ratio_interval": median_interval(ratios),
        "ratio_images": len(ratios),
    }


def _of(rows: Sequence[Row]) -> dict[str, Any]:
    attacked = [row for row in rows if row.attacked]
    lengths = sorted(row.linf if row.found else math.inf for row in attacked)
    budgets = [epsilon / 255 for epsilon in CURVE]
    return {
        "attacked": len(attacked),
        "found": sum(row.found for row in attacked),
        "median": _finite(median(lengths)) if lengths else None,
        "median_interval": median_interval(lengths),
        "curve": [[budget, _right_at(budget, lengths, len(rows))] for budget in budgets],
    }


def _right_at(budget: float, lengths: Sequence[float], images: int) -> float:
    return sum(length > budget for length in lengths) / images


def median_interval(lengths: Sequence[float]) -> list[float | None] | None:
    """A distribution-free 95 % interval of the median: two order statistics (Wilks 1948)."""
    from scipy.stats import binom  # here: it takes most of a second to import

    count = len(lengths)
    below = int(binom.ppf(0.025, count, 0.5)) if count else 0
    if below < 1:
        return None  # fewer than six images say nothing at this level
    return [_finite(lengths[below - 1]), _finite(lengths[count - below])]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
