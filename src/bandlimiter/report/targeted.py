"""How often targeted attacks reached their targets, for a terminal: no accuracy."""

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from bandlimiter.report.side_by_side import HEADINGS, cell

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
    table = Table(
        title=f"\ntarget reached ({document['settings'].get('targets', 'given')}), under at least "
        "one attack of a kind, 95 % intervals",
        caption=_NOTE,
        caption_justify="left",
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
        collapse_padding=True,
    )
    table.add_column("defence", no_wrap=True)
    for column in columns:
        table.add_column(HEADINGS[column], justify="right")
    for line in lines:
        table.add_row(escape(line["defence"]), *(cell(line, column) for column in columns))
    return [table]
