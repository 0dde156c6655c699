"""The paper's tables 1 and 2 and figures 2 and 3: what is tried, at which points.

Next to the smallest perturbations, which are the paper's, stand those that spend the whole
budget: they know as little of the defence, and nothing comes back from them.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bandlimiter.attacks import attack_names, build_attack, default_names
from bandlimiter.attacks.scaled_to_budget import ScaledToBudget
from bandlimiter.defence import PostAverage
from bandlimiter.errors import ConfigurationError
from bandlimiter.evaluation.reproduction.study import Study, StudyAttack
from bandlimiter.evaluation.reproduction.timing import time_answers
from bandlimiter.evaluation.reproduction.words import say
from bandlimiter.results import OURS, Row
from bandlimiter.results.sweep_points import sweep_point, under_budget

ATTACKS = tuple(default_names())
"""Those of the paper."""

PAPER_EPSILON = 8 / 255

DIRECTIONS = (6, 15, 30, 60)
"""K in the paper's table 2."""

RADII = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
"""For figure 2, as multiples of the radius that the paper chose for the data."""

BUDGETS = tuple(n / 255 for n in (1, 2, 4, 8, 16, 24, 32))
"""For figure 3, which the paper draws up to 32/255."""

_TIMED = 20
"""Images that answers are timed on."""

Limits = Mapping[str, int]
"""How many images an attack gets, where that is fewer than all."""


def table1(
    study: Study, attacks: Sequence[str], limits: Limits, values: Sequence[float]
) -> dict[str, Any]:
    """All attacks, one defence; ``values``: the budget, one number, in pixels."""
    (epsilon,) = values or (PAPER_EPSILON,)
    tried = [*_smallest(attacks, epsilon, limits), *_whole(attacks, epsilon, limits)]
    rows = _rows(study, tried, None)
    return _document("table1", study, attacks, [_point(study.defence, OURS, rows, epsilon)])


def table2(
    study: Study, attacks: Sequence[str], limits: Limits, values: Sequence[float]
) -> dict[str, Any]:
    """Numbers of directions K, ``values``, with the time that an answer takes."""
    counts = [_whole_number(value) for value in values or DIRECTIONS]
    if len(study.images) < 2:
        raise ConfigurationError("expected at least two images to time answers on, got one")
    defences = {f"K={k}": study.defence.variant(directions=k) for k in counts}
    timed = study.images.images(0, min(_TIMED, len(study.images)))
    points = _sweep(study, attacks, limits, PAPER_EPSILON, defences)
    seconds = time_answers(study.model, defences, timed)
    for name, found in zip(defences, points, strict=True):
        found["seconds"] = seconds[name]
    return _document("table2", study, attacks, points)


def figure2(
    study: Study, attacks: Sequence[str], limits: Limits, values: Sequence[float]
) -> dict[str, Any]:
    """Radii r, ``values``, in the network's normalised input space."""
    radii = values or [share * study.defence.radius for share in RADII]
    defences = {f"r={r:.10g}": study.defence.variant(radius=r) for r in radii}
    points = _sweep(study, attacks, limits, PAPER_EPSILON, defences)
    return _document("figure2", study, attacks, points)


def figure3(
    study: Study, attacks: Sequence[str], limits: Limits, values: Sequence[float]
) -> dict[str, Any]:
    """Budgets, ``values``, in pixels. Smallest perturbations are searched for once."""
    budgets = sorted(values or BUDGETS)
    smallest = _rows(study, _smallest(attacks, budgets[-1], limits), None)
    points = []
    for epsilon in budgets:
        whole = _rows(study, _whole(attacks, epsilon, limits), None)
        rows = [*under_budget(smallest, epsilon), *whole]
        points.append(_point(study.defence, OURS, rows, epsilon))
    return _document("figure3", study, attacks, points)


Experiment = Callable[[Study, Sequence[str], Limits, Sequence[float]], dict[str, Any]]

EXPERIMENTS: dict[str, Experiment] = {
    "table1": table1,
    "table2": table2,
    "figure2": figure2,
    "figure3": figure3,
}
"""By the paper's names. All but the first attack of table 2 are our own addition there."""


def _smallest(attacks: Sequence[str], epsilon: float, limits: Limits) -> list[StudyAttack]:
    return [StudyAttack(name, "minimal", epsilon, limits.get(name)) for name in attacks]


def _whole(attacks: Sequence[str], epsilon: float, limits: Limits) -> list[StudyAttack]:
    """The attacks that know how to spend a whole budget by themselves."""
    able = [name for name in attacks if name in attack_names("fixed")]
    return [
        StudyAttack(name, "fixed", epsilon, limits.get(name))
        for name in able
        if not isinstance(build_attack(name, "fixed"), ScaledToBudget)
    ]


def _rows(
    study: Study, tried: Sequence[StudyAttack], others: Mapping[str, PostAverage] | None
) -> list[Row]:
    return [row for found in study.judged(tried, others) for row in found.rows]


def _sweep(
    study: Study,
    attacks: Sequence[str],
    limits: Limits,
    epsilon: float,
    defences: Mapping[str, PostAverage],
) -> list[dict[str, Any]]:
    """Show the same adversarial images to every defence of a sweep; return its points."""
    tried = [*_smallest(attacks, epsilon, limits), *_whole(attacks, epsilon, limits)]
    own, *others = defences  # one of them takes the place of the study's own
    sweep = Study(**{**vars(study), "defence": defences[own]})
    rows = _rows(sweep, tried, {name: defences[name] for name in others})
    called = {own: OURS, **{name: name for name in others}}
    return [_point(defences[name], row_name, rows, epsilon) for name, row_name in called.items()]


def _point(defence: PostAverage, name: str, rows: Sequence[Row], epsilon: float) -> dict[str, Any]:
    found = sweep_point(
        rows, name, radius=defence.radius, directions=defence.directions, epsilon=epsilon
    )
    return {**found, "radius_pixels": defence.pixel_radius, "seconds": None}


def _document(
    name: str, study: Study, attacks: Sequence[str], points: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return what tables and figures are made from."""
    document = {
        "experiment": name,
        "settings": {
            **study.settings,
            **study.defence.settings,
            "attacks": list(attacks),
            "images": len(study.images),
            "seed": study.seed,
            "quick": study.quick,
            **study.effort(),
        },
        "points": points,
        "runs": [folder.name for folder in study.runs],
        "warnings": study.warnings,
    }
    document["verdict"] = say(document)
    return document


def _whole_number(value: float) -> int:
    if not math.isfinite(value) or value != int(value) or value < 1:
        raise ConfigurationError(f"expected whole numbers of directions above 0, got {value:g}")
    return int(value)


__all__ = ["ATTACKS", "EXPERIMENTS", "Experiment", "figure2", "figure3", "table1", "table2"]
