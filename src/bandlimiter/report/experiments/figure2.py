"""The paper's figure 2: the defence rate over the radius, as a table."""

from typing import Any

from bandlimiter.report.experiments.document_values import (
    MEANINGS,
    attacks_of,
    clean_line,
    find,
    protocols_of,
    quick_line,
    rate,
)
from bandlimiter.report.experiments.text_table import TextRow, TextTable
from bandlimiter.report.paper import FIGURE2_RADII, SETUPS

# Where the paper's range begins and ends, as shares of the radius it chose for ImageNet.
_RANGE = tuple(radius / SETUPS["imagenet"].radius for radius in FIGURE2_RADII)


def text_table(document: dict[str, Any]) -> TextTable:
    """Lay out figure 2: a row for each radius and protocol, a column for each attack."""
    points = sorted(document["points"], key=lambda point: float(point["radius"]))
    names = attacks_of(points)
    lines = []
    for point in points:
        for number, protocol in enumerate(protocols_of(points)):
            clean = rate(point["clean"], "defended_accuracy", lines=True)
            pixels = point.get("radius_pixels")
            where = (f"{point['radius']:.4g}", "-" if pixels is None else f"{pixels:.3g}", clean)
            cells = (*where, protocol) if number == 0 else ("", "", "", protocol)
            rates = (
                rate(find(point, attack, protocol), "defence_rate", lines=True) for attack in names
            )
            lines.append(TextRow((*cells, *rates)))
    head = (
        f"{clean_line(document)}; K = {points[0]['directions']}, epsilon = "
        f"{255 * points[0]['epsilon']:.3g}/255"
    )
    headings = ("r", "in\npixels", "clean,\ndefended", "kind", *names.values())
    notes = (quick_line(points), MEANINGS, _within(document, points, names))
    return TextTable(
        "Figure 2: defence rate over r",
        head,
        headings,
        tuple(lines),
        tuple(note for note in notes if note),
        words=4,
    )


def _within(document: dict[str, Any], points: list[dict[str, Any]], names: dict[str, str]) -> str:
    """Say how the rates run where the paper found them high."""
    settings = document["settings"]
    usual, data = settings.get("paper_radius"), settings.get("paper_data")
    if usual is None or settings.get("scale") is not None:
        return ""
    low, high = (usual * end for end in _RANGE)
    # A radius at an end is inside, however it was rounded.
    inside = [p for p in points if low * (1 - 1e-6) <= p["radius"] <= high * (1 + 1e-6)]
    if not inside:
        return ""
    which = (
        "the paper's 15 and 30 in this model's normaliser"
        if data == "imagenet"
        else "half of and all of the paper's radius for this data (its figure: 15, 30, ImageNet)"
    )
    where = f"Between r = {low:.4g} and {high:.4g}, {which}"
    said = []
    for protocol in protocols_of(inside):
        parts = []
        for attack, name in names.items():
            found = (find(point, attack, protocol) for point in inside)
            rates = [result["defence_rate"] for result in found if result is not None]
            known = [value for value in rates if value is not None]
            if known:
                parts.append(f"{name} {min(known):.2f} to {max(known):.2f}")
        if parts:
            said.append(f"{protocol} {', '.join(parts)}")
    return f"{where}, rates run from: {'; '.join(said)}." if said else ""
