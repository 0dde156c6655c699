"""Accuracy over epsilon: from minimal attacks on the plain model, and from smallest budgets."""

from collections.abc import Sequence

from bandlimiter.report.html.colours import Look, Looks
from bandlimiter.report.html.figures.figure import Curve, Figure, intervals_words
from bandlimiter.report.html.figures.survival import (
    SurvivalCurve,
    adaptive_survival,
    budgets_of,
    defended_survival,
    plain_survival,
    share,
)
from bandlimiter.report.tables import Study
from bandlimiter.report.tables.attacks import attack_name
from bandlimiter.results import NONE, SMALLEST, Row

_X = "budget epsilon (L-inf, in 1/255)"
_Y = "images right"
_MARK = "epsilon of the run"
_USUAL = 8.0

Named = list[tuple[str, Look, SurvivalCurve]]


def minimal_figures(studies: Sequence[Study], looks: Looks, labels: "Labels") -> list[Figure]:
    """Return a figure for each attack: defences and the plain model over the budget."""
    found: dict[tuple[str, bool], list[tuple[int, list[Row]]]] = {}
    for place, study in enumerate(studies):
        for row in study.rows:
            if row.protocol == "minimal" and row.threat == "transfer" and study.judges:
                parts = found.setdefault((row.attack, row.quick), [])
                if not parts or parts[-1][0] != place:
                    parts.append((place, []))
                parts[-1][1].append(row)
    return [
        _figure(
            f"minimal-{number}",
            f"Accuracy over the budget: {attack_name(*attack)}",
            "From the smallest perturbations of the plain model: at epsilon, an image is replaced "
            "by its perturbation where that is no longer than epsilon. The attack does not know "
            "the defence.",
            [
                each
                for place, rows in parts
                for each in _minimal(place, studies[place].defences, rows, looks, labels)
            ],
            _epsilon(parts),
        )
        for number, (attack, parts) in enumerate(found.items())
    ]


def smallest_figure(studies: Sequence[Study], looks: Looks, labels: "Labels") -> list[Figure]:
    """Return the figure of smallest budgets, where they were searched for."""
    survivals: Named = []
    parts = []
    for place, study in enumerate(studies):
        rows = [row for row in study.rows if row.adaptive and row.attack == SMALLEST]
        for name in (*study.defences, NONE):
            own = [row for row in rows if row.defence == name]
            if not own:
                continue
            survivals.append((labels[place, name], looks[place, name], adaptive_survival(own)))
            parts.append((place, own))
    if not survivals:
        return []
    return [
        _figure(
            "smallest",
            "Accuracy over the budget: adaptive attacks",
            "From the smallest budgets that a search on the defence itself found (PGD through "
            "the defence); a stronger search finds smaller ones.",
            survivals,
            _epsilon(parts),
        )
    ]


Labels = dict[tuple[int, str], str]
"""Place of a run on the page, name of a defence -> name of its curves."""


def _minimal(
    place: int, names: Sequence[str], rows: Sequence[Row], looks: Looks, labels: Labels
) -> Named:
    own = {name: [row for row in rows if row.defence == name] for name in names}
    survivals = [
        (labels[place, name], looks[place, name], defended_survival(own[name]))
        for name in names
        if own[name]
    ]
    first = next(rows for rows in own.values() if rows)
    return [*survivals, (labels[place, NONE], looks[place, NONE], plain_survival(first))]


def _figure(key: str, title: str, caption: str, survivals: Named, epsilon: float | None) -> Figure:
    budgets = budgets_of([survival for _, _, survival in survivals], epsilon or _USUAL)
    curves = [_curve(name, look, survival, budgets) for name, look, survival in survivals]
    inside = epsilon is not None and epsilon <= budgets[-1]
    mark = None if epsilon is None or not inside else (epsilon, f"{_MARK}: {epsilon:.3g}/255")
    caption += f" {intervals_words(len(curves))}"
    return Figure(key, title, caption, _X, _Y, curves, "steps", mark)


def _curve(name: str, look: Look, survival: SurvivalCurve, budgets: Sequence[float]) -> Curve:
    images = len(survival.before)
    shares = [share(survival.at(budget), images) for budget in budgets]
    return Curve(
        name,
        look,
        [round(budget, 4) for budget in budgets],
        [value for value, _, _ in shares],
        [low for _, low, _ in shares],
        [high for _, _, high in shares],
        [f"epsilon {budget:.2f}/255, {images} images" for budget in budgets],
    )


def _epsilon(parts: Sequence[tuple[int, Sequence[Row]]]) -> float | None:
    """Return the runs' budget in units of 1/255, where they have one in common."""
    found = {round(255 * row.epsilon, 6) for _, rows in parts for row in rows}
    return found.pop() if len(found) == 1 and max(found) < 255 else None
