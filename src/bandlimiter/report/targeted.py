"""How often targeted attacks reached their targets, for a terminal: no accuracy."""

from typing import Any

from rich.markup import escape
from rich.table import Table

from bandlimiter.report.side_by_side import HEADINGS, cell, defence_table

_NOTE = (
    "Of the images that the attacked model has right and whose label is not the target. An attack "
    "that ends in another wrong class counts as none, here and in the accuracies above: they say "
    "nothing of untargeted attacks."
)


def target_tables(document: dict[str, Any]) -> list[Table]:
    """Lay out each model's rate of success under all attacks of a kind; nothing if untargeted.

    Parameters
    ----------
    document
        As `results.summarise` makes it.
    """
    lines = document.get("targeted")
    if not lines:
        return []
    columns = [column for column in HEADINGS if any(column in line for line in lines)]
    targets = document["settings"].get("targets", "given")
    title = f"target reached ({targets}), under at least one attack of a kind, 95 % intervals"
    table = defence_table(title, _NOTE, columns)
    for line in lines:
        table.add_row(escape(line["defence"]), *(cell(line, column) for column in columns))
    return [table]
