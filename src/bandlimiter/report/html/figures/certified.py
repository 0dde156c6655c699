"""Curves over the radius of runs of ``certify`` and ``tune``."""

from collections.abc import Mapping, Sequence
from typing import Any

from bandlimiter.report.html.colours import apart_look
from bandlimiter.report.html.figures.figure import Curve, Figure
from bandlimiter.report.tables import Study


def certified_figure(studies: Sequence[Study]) -> list[Figure]:
    """Return certified accuracy over the radius: a curve for each run of ``certify``."""
    found = [study for study in studies if study.kind == "certify" and study.result]
    curves = [_curve(study, number, "certified_accuracy") for number, study in enumerate(found)]
    caption = (
        "Share of images that are right, provably so within this radius, with 95 % Clopper and "
        "Pearson intervals."
    )
    return _figure("certified", "Certified accuracy", caption, "L2 radius in pixels", curves)


def tuning_figure(studies: Sequence[Study]) -> list[Figure]:
    """Return clean accuracy over the radius: a curve for each run of ``tune``."""
    found = [study for study in studies if study.kind == "tune" and study.result]
    curves = [_curve(study, number, "accuracy") for number, study in enumerate(found)]
    caption = (
        "Accuracy of the average on clean images, with 95 % Wilson intervals; at radius 0 that of "
        "the plain model."
    )
    return _figure("tuned", "What a radius costs", caption, "radius, network input space", curves)


def _figure(key: str, title: str, caption: str, x: str, curves: Sequence[Curve]) -> list[Figure]:
    return [Figure(key, title, caption, x, "share of images", curves)] if curves else []


def _curve(study: Study, number: int, key: str) -> Curve:
    points: list[Mapping[str, Any]] = [
        point for point in study.result["curve"] if point[key] is not None
    ]
    return Curve(
        study.name,
        apart_look(number),
        [point["radius"] for point in points],
        [point[key] for point in points],
        [point[f"{key}_interval"][0] for point in points],
        [point[f"{key}_interval"][1] for point in points],
        [f"radius {point['radius']:.4g}, {study.result['images']} images" for point in points],
    )
