"""Rows of a sweep seen at one of its points: under another budget, for one of its defences."""

from collections.abc import Iterable, Sequence
from typing import Any

from bandlimiter.results.rows import OURS, Row
from bandlimiter.results.summary import summarise

_ROUNDING = 2.0**-23
"""A perturbation of exactly epsilon is read off a float32 difference as this much longer."""


def under_budget(rows: Iterable[Row], epsilon: float) -> list[Row]:
    """Return rows of smallest perturbations as if the L-inf budget had been ``epsilon``.

    An attack that looks for the smallest perturbation finds the same one whatever the budget;
    the budget only says whether it counts. Rows of other attacks are not changed.

    Parameters
    ----------
    rows
        Of any attacks, L-inf.
    epsilon
        In pixels.
    """
    return [_counted(row, epsilon) if row.protocol == "minimal" else row for row in rows]


def rows_of(rows: Iterable[Row], defence: str) -> list[Row]:
    """Return the rows of one defence, as if it had been the run's own."""
    return [row.model_copy(update={"defence": OURS}) for row in rows if row.defence == defence]


def point(rows: Sequence[Row], *, radius: float, directions: int, epsilon: float) -> dict[str, Any]:
    """Return a point of a sweep: ``clean``, ``results``, ``failed`` as in `summarise`, and where.

    Parameters
    ----------
    rows
        Of one defence, as `rows_of` gives them, at least one.
    radius, directions, epsilon
        Kept with it.
    """
    document = summarise(rows, {})
    where = {"radius": radius, "directions": directions, "epsilon": epsilon}
    return {**where, **{key: document[key] for key in ("clean", "results", "failed")}}


def _counted(row: Row, epsilon: float) -> Row:
    within = row.found and row.linf <= epsilon + _ROUNDING
    return row.model_copy(update={"epsilon": epsilon, "within_budget": within})
