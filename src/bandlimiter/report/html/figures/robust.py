"""Certified and attacked accuracy over the radius: the truth lies between the curves."""

from collections.abc import Sequence
from typing import Any

from bandlimiter.report.html.colours import apart_look
from bandlimiter.report.html.figures.figure import Curve, Figure
from bandlimiter.report.tables import Study
from bandlimiter.report.tables.robust import shown_classifier

_TITLES = {"l2": "Certified and attacked accuracy", "linf": "Accuracy under L-inf attacks"}
_AXES = {"l2": "L2 radius in pixels", "linf": "L-inf budget, in 1/255"}


def robust_figures(studies: Sequence[Study]) -> list[Figure]:
    """Return a figure per norm, of all runs that certify and attack the same images."""
    found = [study for study in studies if study.kind == "robustness" and study.result]
    figures = []
    for norm in _TITLES:
        curves: list[Curve] = []
        for study in found:
            for name, by_norm in study.result["curves"].items():
                for key in ("certified_accuracy", "attacked_accuracy"):
                    points = [point for point in by_norm.get(norm, ()) if key in point]
                    if points:
                        several = f" ({study.name})" if len(found) > 1 else ""
                        word = f"{shown_classifier(name)}, {key.split('_')[0]}{several}"
                        curves.append(_curve(word, len(curves), points, key, norm))
        if curves:
            caption = "95 % Wilson intervals."
            if norm == "l2":
                caption = (
                    "The accuracy under the worst perturbation within a radius lies between what "
                    f"is certified and what attacks left. {caption}"
                )
            figures.append(
                Figure(
                    f"robust-{norm}",
                    _TITLES[norm],
                    caption,
                    _AXES[norm],
                    "share of images",
                    curves,
                )
            )
    return figures


def _curve(name: str, number: int, points: Sequence[dict[str, Any]], key: str, norm: str) -> Curve:
    unit = 255 if norm == "linf" else 1
    return Curve(
        name,
        apart_look(number),
        [unit * point["budget"] for point in points],
        [point[key] for point in points],
        [point[f"{key}_interval"][0] for point in points],
        [point[f"{key}_interval"][1] for point in points],
        [f"{unit * point['budget']:.4g}, {point['images']} images" for point in points],
    )
