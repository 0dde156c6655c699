"""The paper's table 2: what the number of directions K changes, and what it costs."""

from typing import Any

from bandlimiter.report.experiments.document_values import (
    MEANINGS,
    attacks_of,
    clean_line,
    counted,
    find,
    protocols_of,
    quick_line,
    rate,
    share,
)
from bandlimiter.report.experiments.text_table import TextRow, TextTable
from bandlimiter.report.paper import PLAIN_SECONDS, TABLE2, PaperSweepRow

_HEADINGS = (
    "K",
    "attack",
    "#adv",
    "clean,\ndefended",
    "plain\nattacked",
    "defended\nattacked",
    "defence\nrate",
    "seconds,\ntimes",
)


def text_table(document: dict[str, Any]) -> TextTable:
    """Lay out table 2; below each K stands the paper's row, of PGD on ImageNet."""
    points = document["points"]
    lines: list[TextRow] = []
    for point in points:
        lines += _ours(point)
        if point["directions"] in TABLE2:
            lines.append(_paper(point["directions"], TABLE2[point["directions"]]))
    first = points[0]
    head = (
        f"{clean_line(document)}; r = {first['radius']:.4g}, epsilon = "
        f"{255 * first['epsilon']:.3g}/255"
    )
    notes = (
        "seconds, times: of one image's answer, and how many times the plain model's.",
        quick_line(points),
        "The paper: PGD, ResNet-152 on 5,000 images of ImageNet, r = 30, epsilon = 8/255.",
        MEANINGS,
        _times(points),
    )
    return TextTable(
        "Table 2: the number of directions",
        head,
        _HEADINGS,
        tuple(lines),
        tuple(note for note in notes if note),
        words=2,
    )


def _ours(point: dict[str, Any]) -> list[TextRow]:
    lines: list[TextRow] = []
    for attack, name in attacks_of([point]).items():
        for protocol in protocols_of([point]):
            result = find(point, attack, protocol)
            if result is None:
                continue
            first, seconds = not lines, point["seconds"]
            lines.append(
                TextRow(
                    (
                        str(point["directions"]) if first else "",
                        f"{name} {protocol}",
                        counted(result),
                        rate(point["clean"], "defended_accuracy", lines=True) if first else "",
                        share(result["attacked_accuracy"]),
                        share(result["defended_attacked_accuracy"]),
                        rate(result, "defence_rate", lines=True),
                        _seconds(seconds) if first else "",
                    )
                )
            )
    return lines


def _paper(directions: int, row: PaperSweepRow) -> TextRow:
    cells = (
        str(directions),
        "the paper",
        str(row.adversarials),
        share(row.clean),
        share(row.attacked),
        share(row.defended_attacked),
        share(row.defence_rate),
        f"{row.seconds:.2f}\n{row.seconds / PLAIN_SECONDS:.1f} x",
    )
    return TextRow(cells, "the paper")


def _seconds(seconds: dict[str, Any] | None) -> str:
    return "-" if seconds is None else f"{seconds['defended']:.3g}\n{seconds['ratio']:.1f} x"


def _times(points: list[dict[str, Any]]) -> str:
    """Put the paper's rule, 2K/3 times, to the test."""
    timed = [point for point in points if point["seconds"]]
    if not timed:
        return ""
    plain = timed[0]["seconds"]["plain"]
    ratios = {point["directions"]: point["seconds"]["ratio"] for point in timed}
    # Least squares through the origin: what one more direction costs, in plain answers.
    slope = sum(k * ratio for k, ratio in ratios.items()) / sum(k * k for k in ratios)
    counts = ", ".join(map(str, ratios))
    said = (
        f"The plain model takes {plain:.3g} s an image (the paper's {PLAIN_SECONDS} s). For K = "
        f"{counts} the rule of 2K/3 says {_listed(2 * k / 3 for k in ratios)} times that; here it "
        f"is {_listed(ratios.values())}, about {slope:.2f} K. An answer is 6K + 1 evaluations: "
        f"{', '.join(str(6 * k + 1) for k in ratios)}."
    )
    saved = (6 * timed[-1]["directions"] + 1) / timed[-1]["seconds"]["ratio"]
    return f"{said} One of them costs 1/{saved:.1f} of a plain answer."


def _listed(numbers: Any) -> str:
    return ", ".join(f"{number:.1f}" for number in numbers)
