"""Accuracy under each kind of attack: defences side by side, what one has more, class by class."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from bandlimiter.report.tables.study import Study
from bandlimiter.report.tables.table import Cell, Column, Measured, Table
from bandlimiter.results import NONE, OURS, rate
from bandlimiter.results.compare_defences import COLUMNS, Correctness

_HEADINGS = {
    "clean": "clean",
    "minimal": "smallest found",
    "fixed": "whole budget",
    "saved": "given images",
    "adaptive": "adaptive attacks",
}
_MEANINGS = {
    "minimal": "Smallest found: perturbations of the plain model, the paper's protocol.",
    "fixed": "Whole budget: spent on the plain model.",
    "saved": "Given images: adversarial images from files.",
    "adaptive": "Adaptive attacks: on the defence itself.",
}


def side_by_side_table(study: Study) -> Table:
    """Return each defence's accuracy: the share of images right under all attacks of a kind."""
    lines = _lines(study)
    kinds = _kinds(lines)
    return Table(
        "side-by-side",
        f"Accuracy: images right under every {study.attack_word} of a kind",
        [Column("defence", "defence", text=True), *(_column(kind) for kind in kinds)],
        [
            [study.shown(line["defence"]), *(Measured.of(line, kind) for kind in kinds)]
            for line in lines
        ],
        " ".join(["95 % intervals.", *(_MEANINGS[kind] for kind in kinds if kind in _MEANINGS)]),
    )


def difference_table(study: Study) -> Table:
    """Return how much more the run's own defence has than each other, on the same images."""
    own = _lines(study) if OURS in study.defences else []
    lines = [line for line in own if line["defence"] != OURS]
    kinds = [kind for kind in COLUMNS if any(f"{kind}_difference" in line for line in lines)]
    return Table(
        "differences",
        f"How much more {study.shown(OURS)} has, on the same images",
        [
            Column("other", "than", text=True),
            *(Column(kind, _HEADINGS[kind], measured=True, signed=True) for kind in kinds),
        ],
        [
            [
                study.shown(line["defence"]),
                *(Measured.of(line, f"{kind}_difference") for kind in kinds),
            ]
            for line in lines
        ],
        "Paired 95 % intervals (Tango 1998): one that holds 0 shows no difference.",
    )


def class_tables(study: Study) -> list[Table]:
    """Return each defence's accuracy for every class of image."""
    if not study.judges or not study.rows:
        return []
    correctness = Correctness(study.rows)
    label_of = {row.image: row.label for row in study.rows}
    names = sorted(study.defences, key=lambda name: name != OURS)
    if OURS in names:
        names.append(NONE)
    return [_class_table(study, correctness, label_of, i, name) for i, name in enumerate(names)]


def _class_table(
    study: Study,
    correctness: Correctness,
    label_of: Mapping[int, int],
    number: int,
    name: str,
) -> Table:
    kinds = [kind for kind in COLUMNS if correctness.right(name, kind)]
    right: dict[int, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for kind in kinds:
        for image, is_right in correctness.right(name, kind).items():
            right[label_of[image]][kind].append(is_right)
    return Table(
        f"classes-{number}",
        f"By class: {study.shown(name)}",
        [
            Column("class", "class", text=True),
            Column("images", "images"),
            *(_column(kind) for kind in kinds),
        ],
        [
            [
                study.class_name(label),
                len(right[label]["clean"]),
                *(_share(right[label][kind]) for kind in kinds),
            ]
            for label in sorted(right)
        ],
        "Few images per class make wide intervals.",
    )


def _share(right: list[bool]) -> Cell:
    return Measured(*rate(sum(right), len(right))) if right else None


def _lines(study: Study) -> list[dict[str, Any]]:
    """Return a line for each defence, the plain model last."""
    if not study.rows or not study.judges:
        return []
    if OURS in study.defences:
        lines = {line["defence"]: line for line in study.document["side_by_side"]}
        return [lines[name] for name in (*study.defences, NONE)]
    documents = study.by_defence
    own = [{**documents[name]["side_by_side"][0], "defence": name} for name in study.defences]
    plain = [line for line in study.document["side_by_side"] if line["defence"] == NONE]
    if own and "clean" not in plain[0]:  # every defence answered the same attacks on it
        plain = [documents[study.defences[0]]["side_by_side"][-1]]
    return [*own, *plain]


def _kinds(lines: list[dict[str, Any]]) -> list[str]:
    return [kind for kind in COLUMNS if any(kind in line for line in lines)]


def _column(kind: str) -> Column:
    return Column(kind, _HEADINGS[kind], measured=True)
