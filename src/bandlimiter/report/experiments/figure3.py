"""The paper's figure 3: the defence rate over the budget, as a table."""

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
)
from bandlimiter.report.experiments.text_table import TextRow, TextTable


def text_table(document: dict[str, Any]) -> TextTable:
    """Lay out figure 3: a row for each budget and protocol, a column for each attack."""
    points = sorted(document["points"], key=lambda point: float(point["epsilon"]))
    names = attacks_of(points)
    lines = []
    for point in points:
        for number, protocol in enumerate(protocols_of(points)):
            budget = f"{255 * point['epsilon']:.3g}/255" if number == 0 else ""
            cells = (_cell(find(point, attack, protocol)) for attack in names)
            lines.append(TextRow((budget, protocol, *cells)))
    first = points[0]
    head = (
        f"{clean_line(document)}, of the defended one {rate(first['clean'], 'defended_accuracy')}; "
        f"r = {first['radius']:.4g}, K = {first['directions']}; in each cell defence rate, its "
        "interval, #adv of images"
    )
    headings = ("epsilon", "kind", *names.values())
    notes = [note for note in (quick_line(points), MEANINGS, *_ends(points, names)) if note]
    return TextTable(
        "Figure 3: defence rate over epsilon", head, headings, tuple(lines), tuple(notes), words=2
    )


def _cell(result: dict[str, Any] | None) -> str:
    if result is None:
        return "-"
    return f"{rate(result, 'defence_rate', lines=True)}\n#{counted(result)}"


def _ends(points: list[dict[str, Any]], names: dict[str, str]) -> list[str]:
    """Say how far each rate moves from the smallest budget that found anything to the largest."""
    said = []
    for protocol in protocols_of(points):
        parts = []
        for attack, name in names.items():
            known = [
                (point["epsilon"], result["defence_rate"])
                for point in points
                if (result := find(point, attack, protocol)) is not None
                and result["defence_rate"] is not None
            ]
            if len(known) > 1:
                (low, start), (high, end) = known[0], known[-1]
                parts.append(
                    f"{name} {start:.2f} at {255 * low:.3g}/255, {end:.2f} at {255 * high:.3g}/255"
                )
        if parts:
            said.append(f"From end to end ({protocol}): {'; '.join(parts)}.")
    return said
