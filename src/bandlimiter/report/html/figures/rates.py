"""Defence rates with intervals: by attack, or over what a sweep varies."""

from collections.abc import Mapping, Sequence
from typing import Any

from bandlimiter.report.html.colours import Looks, apart_look
from bandlimiter.report.html.figures.budgets import Labels
from bandlimiter.report.html.figures.figure import Curve, Figure
from bandlimiter.report.tables import Study
from bandlimiter.report.tables.attacks import attack_name

_PROTOCOLS = {
    "minimal": "smallest perturbations of the plain model",
    "fixed": "the whole budget, spent on the plain model",
    "saved": "given adversarial images",
}
_CAPTION = (
    "Share of the images that fool the plain model within the budget which the defence has right, "
    "with 95 % Wilson intervals. These attacks do not know the defence."
)

Result = Mapping[str, Any]


def rate_figures(studies: Sequence[Study], looks: Looks, labels: Labels) -> list[Figure]:
    """Return a figure for each protocol: defence rate by attack, a colour for each defence."""
    figures = []
    for protocol, words in _PROTOCOLS.items():
        curves = [
            _by_attack(labels[place, name], looks[place, name], results)
            for place, study in enumerate(studies)
            if study.judges and not study.sweep
            for name, document in study.by_defence.items()
            if (results := _rated(document, protocol))
        ]
        if curves:
            title = f"Defence rate: {words}"
            figures.append(
                Figure(
                    f"rates-{protocol}", title, _CAPTION, "attack", "brought back", curves, "points"
                )
            )
    return figures


def sweep_figures(studies: Sequence[Study]) -> list[Figure]:
    """Return a figure for each sweep and protocol: defence rate over its parameter."""
    return [
        figure
        for place, study in enumerate(studies)
        if study.judges and study.sweep
        for protocol, words in _PROTOCOLS.items()
        for figure in _sweep(study, place, protocol, words, several=len(studies) > 1)
    ]


def _sweep(study: Study, place: int, protocol: str, words: str, *, several: bool) -> list[Figure]:
    sweep = study.sweep
    if sweep is None:
        return []
    by_attack: dict[tuple[str, bool], list[tuple[str, Result]]] = {}
    for name in study.defences:
        for result in _rated(study.by_defence[name], protocol):
            key = (result["attack"], result["quick"])
            by_attack.setdefault(key, []).append((name, result))
    if not by_attack:
        return []
    curves = []
    for number, (attack, results) in enumerate(by_attack.items()):
        curves.append(
            _curve(
                attack_name(*attack),
                apart_look(number),
                [sweep.values[name] for name, _ in results],
                [result for _, result in results],
                [f"{study.shown(name)}, {_of(result)}" for name, result in results],
            )
        )
    clean = [(name, study.by_defence[name]["clean"]) for name in study.defences]
    look = apart_look(len(by_attack))
    curves.append(
        Curve(
            "clean accuracy, defended",
            look,
            [sweep.values[name] for name, _ in clean],
            [each["defended_accuracy"] for _, each in clean],
            [each["defended_accuracy_interval"][0] for _, each in clean],
            [each["defended_accuracy_interval"][1] for _, each in clean],
            [f"{study.shown(name)}, {each['images']} images" for name, each in clean],
        )
    )
    title = f"Over {sweep.parameter}: {words}" + (f" ({study.name})" if several else "")
    return [
        Figure(
            f"sweep-{place}-{protocol}",
            title,
            f"{_CAPTION} Beside it, the defence's accuracy on clean images.",
            sweep.parameter,
            "share of images",
            curves,
        )
    ]


def _by_attack(name: str, look: Any, results: Sequence[Result]) -> Curve:
    attacks = [attack_name(result["attack"], result["quick"]) for result in results]
    notes = [f"{attack}, {_of(result)}" for attack, result in zip(attacks, results, strict=True)]
    return _curve(name, look, attacks, results, notes)


def _curve(
    name: str, look: Any, x: Sequence[Any], results: Sequence[Result], notes: Sequence[str]
) -> Curve:
    return Curve(
        name,
        look,
        x,
        [result["defence_rate"] for result in results],
        [result["defence_rate_interval"][0] for result in results],
        [result["defence_rate_interval"][1] for result in results],
        notes,
    )


def _rated(document: Mapping[str, Any], protocol: str) -> list[Result]:
    return [
        result
        for result in document["results"]
        if result["protocol"] == protocol
        and result["threat"] != "adaptive"
        and result["defence_rate"] is not None
    ]


def _of(result: Result) -> str:
    return f"{result['adversarials']} adversarial images"
