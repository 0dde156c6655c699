"""What each attack did: the paper's protocol beside the paper's figures, and all others."""

from collections.abc import Mapping, Sequence
from typing import Any

from bandlimiter.report.paper import TABLE1, PaperRow, is_paper_s_defence
from bandlimiter.report.tables.study import Study
from bandlimiter.report.tables.table import Cell, Column, Measured, Table
from bandlimiter.results import NONE, OURS

_NAMES = {"fgsm": "FGSM", "pgd": "PGD", "deepfool": "DeepFool", "cw": "C&W"}
_TABLES = {
    "minimal": ("paper-protocol", "The paper's protocol: the smallest perturbation found"),
    "fixed": ("whole-budget", "The whole budget, spent on the plain model"),
    "saved": ("given-images", "Adversarial images from files"),
}
_COLUMNS = (
    Column("defence", "defence", text=True),
    Column("attack", "attack", text=True),
    Column("adversarials", "#adv"),
    Column("beyond_budget", "beyond budget"),
    Column("mean_linf", "L-inf, 1/255", digits=2),
    Column("attacked_accuracy", "plain attacked", measured=True),
    Column("defended_clean", "defended clean", measured=True),
    Column("defended_attacked_accuracy", "defended attacked", measured=True),
    Column("defence_rate", "defence rate", measured=True),
)
_NOTE = (
    "#adv: images that fool the plain model within the budget. Defence rate: the share of these "
    "that the defence has right. 95 % intervals."
)
_TARGETED = (
    "#adv: images to which the plain model, within the budget, gives their target class. Defence "
    "rate: the share of these that the defence has right. 95 % intervals."
)


def attack_name(attack: str, quick: bool = False) -> str:
    """Return an attack's name as papers write it."""
    return _NAMES.get(attack, attack) + (" (quick)" if quick else "")


def attack_tables(study: Study) -> list[Table]:
    """Return a table for each protocol of attacks on the plain model."""
    return [_protocol_table(study, protocol) for protocol in _TABLES]


def adaptive_table(study: Study) -> Table:
    """Return what attacks on the defences themselves left, and what broke how many images."""
    results = [
        (study.shown(name), result)
        for name, document in documents(study, plain=True).items()
        for result in document["results"]
        if result["threat"] == "adaptive"
    ]
    return Table(
        "adaptive-attacks",
        "Adaptive attacks",
        [
            Column("defence", "attacked", text=True),
            Column("attack", "attack", text=True),
            Column("images", "images"),
            Column("left", "accuracy left", measured=True),
            Column("broken_by", "images broken by", text=True),
            Column("mean_queries", "queries per image", digits=0),
            Column("mean_gradients", "gradients per image", digits=0),
        ],
        [[name, *_adaptive(result)] for name, result in results],
        "A cascade is several attacks in turn, each on the images that the earlier ones left.",
    )


def budget_table(study: Study) -> Table:
    """Return how large the smallest budgets are that attacks on each defence need."""
    found = study.document["smallest_budgets"] or {} if study.rows else {}
    return Table(
        "smallest-budgets",
        "The smallest budget that an attack on the defence needs",
        [
            Column("defence", "attacked", text=True),
            Column("attacked", "images"),
            Column("found", "found"),
            Column("median", "median L-inf, 1/255", digits=2, measured=True),
            Column("ratio", "times the plain model's", digits=2, measured=True),
        ],
        [
            [
                study.shown(name),
                each["attacked"],
                each["found"],
                Measured.of(each, "median", 255),
                Measured.of(each, "ratio"),
            ]
            for name, each in found.items()
        ],
        "Medians over images, with distribution-free 95 % intervals; the ratio is paired by image.",
    )


def _protocol_table(study: Study, protocol: str) -> Table:
    paper = _paper(study) if protocol == "minimal" else {}
    rows: list[list[Cell]] = []
    for name, document in documents(study).items():
        for result in document["results"]:
            if result["protocol"] == protocol and result["threat"] != "adaptive":
                rows.append(_result(study.shown(name), document, result))
                if name == OURS and result["attack"] in paper:
                    rows.append(_paper_row(result["attack"], paper[result["attack"]]))
    name, title = _TABLES[protocol]
    return Table(name, title, _COLUMNS, rows, _TARGETED if study.targeted else _NOTE)


def _result(name: str, document: Mapping[str, Any], result: Mapping[str, Any]) -> list[Cell]:
    linf = result["mean_linf"]
    return [
        name,
        attack_name(result["attack"], result["quick"]),
        result["adversarials"],
        result["beyond_budget"],
        None if linf is None else 255 * linf,
        Measured.of(result, "attacked_accuracy"),
        Measured.of(document["clean"], "defended_accuracy"),
        Measured.of(result, "defended_attacked_accuracy"),
        Measured.of(result, "defence_rate"),
    ]


def _paper_row(attack: str, row: PaperRow) -> list[Cell]:
    shares = (row.attacked, row.defended_clean, row.defended_attacked, row.defence_rate)
    return [
        "the paper's",
        attack_name(attack),
        row.adversarials,
        None,
        None,
        *(Measured(share) for share in shares),
    ]


def _paper(study: Study) -> Mapping[str, PaperRow]:
    settings = dict(study.settings)
    known = "radius" in settings and is_paper_s_defence(settings)
    return TABLE1[settings["paper_data"]] if known else {}


def _adaptive(result: Mapping[str, Any]) -> Sequence[Cell]:
    stages = result["stages"] or {}
    return [
        attack_name(result["attack"], result["quick"]),
        result["images"],
        Measured.of(result, "defended_attacked_accuracy"),
        ", ".join(f"{stage} {count}" for stage, count in stages.items()) or None,
        result["mean_queries"],
        result["mean_gradients"],
    ]


def documents(study: Study, *, plain: bool = False) -> Mapping[str, Mapping[str, Any]]:
    """Return each defence's document; with ``plain``, that of the plain model under attack too."""
    if not study.judges:
        return {}
    if plain and any(row.defence == NONE for row in study.rows):
        return {**study.by_defence, NONE: study.document_of(NONE)}
    return study.by_defence
