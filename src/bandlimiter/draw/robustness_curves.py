"""What is left of a defence: survival over queries, accuracy over the budget."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bandlimiter.draw.plotting import layer_colour, new_figure, save_figure
from bandlimiter.errors import InputError
from bandlimiter.results import CASCADE, NONE, SMALLEST, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def curves_of(
    rows: Sequence[Row], stages: Sequence[str]
) -> tuple[dict[str, list[Row]], dict[str, list[Row]]]:
    """Return what a run's rows give for `draw_robustness_curves`, a curve for each defence.

    Parameters
    ----------
    rows
        Of a run.
    stages
        Of its cascade. Queries count where Square alone attacked; budgets where smallest
        ones were searched for.
    """
    by_queries: dict[str, list[Row]] = defaultdict(list)
    by_budget: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.attack == CASCADE and tuple(stages) == ("square",):
            by_queries[row.defence].append(row)
        if row.attack == SMALLEST and row.adaptive:
            by_budget[row.defence].append(row)
    return dict(by_queries), dict(by_budget)


def draw_robustness_curves(
    by_queries: Mapping[str, Sequence[Row]],
    by_budget: Mapping[str, Sequence[Row]],
    stem: Path,
) -> list[Path]:
    """Draw the share of images that stay right, against queries and against the budget.

    Parameters
    ----------
    by_queries
        Name of a curve -> rows of an attack that only asks (Square), one per image. Rows of
        the plain model (`NONE`) are dashed, in the colour of the curve before.
    by_budget
        Name of a curve -> rows of a search for smallest budgets, one per image.
    stem
        Where ``.png`` and ``.svg`` go.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    InputError
        (a ValueError) where there is no curve, or one without rows.
    MissingExtraError
        Where matplotlib is not installed.
    """
    panels = [panel for panel in (by_queries, by_budget) if panel]
    if not panels or not all(rows for panel in panels for rows in panel.values()):
        raise InputError("expected rows for each curve, and at least one curve; got none")
    figure, axes = new_figure(len(panels), 5 * len(panels), 3.6)
    for axis, panel in zip(axes, panels, strict=True):
        colours = 0
        for name, rows in panel.items():
            plain = rows[0].defence == NONE
            if not plain or not colours:  # else dashed, in the colour of the curve before
                colours += 1
            at = [_queries(row) if panel is by_queries else _budget(row) for row in rows]
            end = (
                max(row.queries or 0 for row in rows)
                if panel is by_queries
                else max(255 * row.linf for row in rows)
            )
            _steps(axis, name, at, end, layer_colour(colours - 1), "--" if plain else "-")
        _label(axis, queries=panel is by_queries)
    return save_figure(figure, stem)


def _queries(row: Row) -> float:
    """Return after how many queries the image was lost; 0 for one that was wrong clean."""
    if row.defended_clean != row.label:
        return 0
    return math.inf if row.stage is None else float(row.queries or 0)


def _budget(row: Row) -> float:
    """Return at which budget, in units of 1/255, the image is lost; 0 if it was wrong clean."""
    if row.defended_clean != row.label:
        return 0
    return 255 * row.linf if row.found else math.inf


def _steps(
    axis: "Axes", name: str, lost_at: Sequence[float], end: float, colour: str, style: str
) -> None:
    """Draw the share of images that are lost later than each point, up to ``end``."""
    at = sorted(lost_at)
    shares = [1 - (i + 1) / len(at) for i in range(len(at))]
    finite = [(x, share) for x, share in zip(at, shares, strict=True) if math.isfinite(x)]
    start = sum(x > 0 for x in at) / len(at)
    steps = [(0.0, start), *((x, share) for x, share in finite if x > 0)]
    xs, ys = zip(*steps, (max(end, steps[-1][0]), steps[-1][1]), strict=True)
    axis.step(xs, ys, where="post", label=name, color=colour, linestyle=style)


def _label(axis: "Axes", *, queries: bool) -> None:
    if queries:
        axis.set_xscale("symlog", linthresh=10)
        axis.set_xlim(left=0)
        axis.set_xlabel("queries per image (Square Attack)")
    else:
        axis.set_xlim(left=0)
        axis.set_xlabel("L-inf budget, in 1/255 (PGD that knows the defence)")
    axis.set_ylabel("images that stay right")
    axis.set_ylim(0, 1)
    axis.legend()
    axis.grid(alpha=0.3)
