"""The paper's table 1: four attacks, how far they go, and what comes back."""

from statistics import mean
from typing import Any

from bandlimiter.report.experiments.document_values import (
    MEANINGS,
    attacks_of,
    clean_line,
    counted,
    find,
    paper_line,
    protocols_of,
    quick_line,
    rate,
    share,
    size,
)
from bandlimiter.report.experiments.text_table import TextRow, TextTable
from bandlimiter.report.paper import TABLE1, PaperRow

_HEADINGS = (
    "attack",
    "#adv",
    "plain\nattacked",
    "defended\nattacked",
    "defence\nrate",
    "L-inf\n/255",
    "L2",
    "L2\nnorm.",
)


def text_table(document: dict[str, Any]) -> TextTable:
    """Lay out table 1; the paper's row stands below each of our own of its protocol."""
    (point,) = document["points"]
    paper = TABLE1.get(document["settings"].get("paper_data") or "", {})
    lines: list[TextRow] = []
    for attack, name in attacks_of([point]).items():
        for protocol in protocols_of([point]):
            result = find(point, attack, protocol)
            if result is not None:
                lines.append(_ours(result, name))
            if protocol == "minimal" and attack in paper:
                lines.append(_paper(paper[attack]))
    head = (
        f"{clean_line(document)}, of the defended one {rate(point['clean'], 'defended_accuracy')}; "
        f"r = {point['radius']:.4g}, K = {point['directions']}, epsilon = "
        f"{255 * point['epsilon']:.3g}/255"
    )
    notes = [
        "L2 norm.: in the network's normalised input space.",
        quick_line([point]),
        paper_line(document),
        MEANINGS,
        _sizes(point),
    ]
    return TextTable(
        "Table 1: four attacks",
        head,
        _HEADINGS,
        tuple(lines),
        tuple(note for note in notes if note),
    )


def _ours(result: dict[str, Any], name: str) -> TextRow:
    return TextRow(
        (
            f"{name} {result['protocol']}",
            counted(result),
            share(result["attacked_accuracy"]),
            share(result["defended_attacked_accuracy"]),
            rate(result, "defence_rate", lines=True),
            size(result["mean_linf"], 255),
            size(result["mean_l2"]),
            size(result["mean_l2_normalised"]),
        )
    )


def _paper(row: PaperRow) -> TextRow:
    cells = (
        "  the paper",
        str(row.adversarials),
        share(row.attacked),
        share(row.defended_attacked),
        share(row.defence_rate),
    )
    return TextRow((*cells, "", "", ""), "the paper")


def _sizes(point: dict[str, Any]) -> str:
    """Hold the paper's explanation of FGSM's rate against the lengths that were found."""
    lengths = {
        attack: result["mean_l2"]
        for attack in attacks_of([point])
        if (result := find(point, attack, "minimal")) is not None and result["mean_l2"]
    }
    fgsm = lengths.pop("fgsm", None)
    if fgsm is None or not lengths:
        return ""
    others = mean(lengths.values())
    return (
        f"Smallest perturbations by FGSM are {fgsm:.2f} long (L2, pixels), by the others "
        f"{others:.2f}: {fgsm / others:.1f} times. The paper gives no lengths."
    )
