"""Tables of runs that certify and attack the same images."""

from collections.abc import Mapping, Sequence
from typing import Any

from bandlimiter.report.tables.study import Study
from bandlimiter.report.tables.table import Cell, Column, Measured, Table
from bandlimiter.results import NONE, OURS

_NAMES = {OURS: "the average", NONE: "same network without noise"}
_UNITS = {"l2": (1, "L2 radius"), "linf": (255, "L-inf budget /255")}


def robust_tables(study: Study) -> list[Table]:
    """Return both sides of the truth by L2 radius, L-inf budgets, and smallest ones."""
    document = study.result
    if study.kind != "robustness" or not document:
        return []
    return robustness_tables(document)


def robustness_tables(document: Mapping[str, Any]) -> list[Table]:
    """Return the tables of a document of `results.robustness`."""
    curves = document["curves"]
    found = [_by_budget(curves, norm) for norm in _UNITS if curves and _has(curves, norm)]
    if document["smallest"]:
        found.append(_smallest(document["smallest"]))
    return found


def shown_classifier(name: str) -> str:
    """Return a classifier's name as readers should see it."""
    return _NAMES.get(name, name)


def _has(curves: Mapping[str, Any], norm: str) -> bool:
    return any(by_norm.get(norm) for by_norm in curves.values())


def _by_budget(curves: Mapping[str, Any], norm: str) -> Table:
    """A row per budget: certified and attacked accuracy of each classifier."""
    unit, heading = _UNITS[norm]
    columns = [Column("budget", heading, digits=_digits(curves, norm))]
    keys: list[tuple[str, str]] = []
    for name, by_norm in curves.items():
        for key, word in (("certified_accuracy", "certified"), ("attacked_accuracy", "attacked")):
            if any(key in point for point in by_norm.get(norm, ())):
                keys.append((name, key))
                columns.append(
                    Column(f"{name} {key}", f"{shown_classifier(name)}: {word}", 3, measured=True)
                )
    points = {
        name: {point["budget"]: point for point in by_norm.get(norm, ())}
        for name, by_norm in curves.items()
    }
    budgets = sorted({budget for of_name in points.values() for budget in of_name})
    rows: list[Sequence[Cell]] = [
        [
            unit * budget,
            *(Measured.of(points[name].get(budget, {}), key) for name, key in keys),
        ]
        for budget in budgets
    ]
    if norm == "l2":
        title = "Certified and attacked accuracy, L2 in pixels"
        note = (
            "The accuracy under the worst perturbation within a radius lies between both. 95 % "
            "Wilson intervals."
        )
    else:
        title = "Attacked accuracy, L-inf"
        note = "What attacks left; a better attack may leave less. Nothing is proven here."
    return Table(f"robust-{norm}", title, columns, rows, note)


def _digits(curves: Mapping[str, Any], norm: str) -> int:
    """Return how many places tell the budgets from each other and from 0, six at most."""
    budgets = {p["budget"] for of_norm in curves.values() for p in of_norm.get(norm, ())}
    written = [f"{_UNITS[norm][0] * budget:.6f}".rstrip("0") for budget in budgets]
    return max((len(text.partition(".")[2]) for text in written), default=0)


def _smallest(smallest: Mapping[str, Any]) -> Table:
    columns = [
        Column("classifier", "", text=True),
        Column("median", "median, /255", digits=2, measured=True),
        Column("found", "found"),
        Column("attacked", "of"),
    ]
    others = list(smallest)
    columns += [
        Column(f"ratio to {name}", f"times {shown_classifier(name)}", digits=2, measured=True)
        for name in others
    ]
    rows: list[Sequence[Cell]] = [
        [
            shown_classifier(name),
            Measured.of(entry, "median", 255),
            entry["found"],
            entry["attacked"],
            *(Measured.of(entry["ratios"].get(other, {}), "ratio") for other in others),
        ]
        for name, entry in smallest.items()
    ]
    return Table(
        "robust-smallest",
        "Smallest L-inf budgets that an adaptive search found",
        columns,
        rows,
        "Ratios are medians over images, each against itself, with distribution-free 95 % "
        "intervals.",
    )
