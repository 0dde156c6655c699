"""The paper's figure 1 in numbers: what each layer cuts, and what a small step crosses."""

from typing import Any

from bandlimiter.report.experiments.text_table import TextRow, TextTable

_COLOURS = {1: "black", 2: "blue", 3: "red"}


def text_table(document: dict[str, Any]) -> TextTable:
    """Lay out figure 1: a row for each layer."""
    counts, step, elsewhere = document["regions"], document["step"], document["elsewhere"]
    crossed = list(step["crossings"].values())
    lines = [
        TextRow(
            (
                f"{number} ({_COLOURS[number]})" if number in _COLOURS else str(number),
                str(layer["units"]),
                str(layer["facets"]),
                str(crossed[number - 1]),
            )
        )
        for number, layer in enumerate(document["layers"], start=1)
    ]
    empty = counts["volume_without_points"] / counts["volume"]["total"]
    head = (
        f"{counts['count']} linear regions of a network of two inputs, "
        f"{counts['without_points']} of them ({empty:.0%} of the box) without a training point"
    )
    notes = (
        f"The step from A to B is {step['length']:.3g} long, in the direction, of "
        f"{elsewhere['directions']} from A, that crosses most; straight towards the decision "
        f"boundary {elsewhere['towards_boundary']} are crossed. From {elsewhere['count']} random "
        f"places, in random directions, it is {elsewhere['mean']:.1f} on average and at most "
        f"{elsewhere['largest']}.",
    )
    headings = ("layer", "units", "border\npieces", "crossed\nA to B")
    return TextTable(
        "Figure 1: an input space cut by three layers", head, headings, tuple(lines), notes
    )
