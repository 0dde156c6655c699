"""Rows of a sweep seen at one of its points: under another budget, for one of its defences."""

from collections.abc import Iterable
from typing import Any

from bandlimiter.results.rows import Row
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


def sweep_point(
    rows: Iterable[Row], defence: str, *, radius: float, directions: int, epsilon: float
) -> dict[str, Any]:
    """Return a point of a sweep: ``clean``, ``results``, ``failed`` as in `summarise`, and where.

    Parameters
    ----------
    rows
        Of any defences.
    defence
        The point's.
    radius, directions, epsilon
        Kept with it.
    """
    document = summarise([row for row in rows if row.defence == defence], {}, defence=defence)
    where = {"radius": radius, "directions": directions, "epsilon": epsilon}
    return {**where, **{key: document[key] for key in ("clean", "results", "failed")}}


def _counted(row: Row, epsilon: float) -> Row:
    within = row.found and row.linf <= epsilon + _ROUNDING
    return row.model_copy(update={"epsilon": epsilon, "within_budget": within})
