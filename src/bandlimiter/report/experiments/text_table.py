"""A table before it is drawn, and how it is drawn: for a terminal, and as Markdown."""

import re
from dataclasses import dataclass
from typing import Literal

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text


@dataclass(frozen=True)
class TextRow:
    """Cells of one row; a cell may have several lines. Rows of the paper are set back."""

    cells: tuple[str, ...]
    whose: Literal["ours", "the paper"] = "ours"


@dataclass(frozen=True)
class TextTable:
    """A table of texts.

    Attributes
    ----------
    title, head
        What it is; what holds for the whole of it.
    headings
        Of its columns, ``words`` of which hold words and stand to the left.
    lines
        Its rows.
    notes
        What follows from it, below.
    """

    title: str
    head: str
    headings: tuple[str, ...]
    lines: tuple[TextRow, ...]
    notes: tuple[str, ...] = ()
    words: int = 1


def table_of(table: TextTable) -> Table:
    """Draw a table for a terminal."""
    drawn = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for number, heading in enumerate(table.headings):
        left = number < table.words
        drawn.add_column(
            Text(heading), justify="left" if left else "right", no_wrap=left, vertical="top"
        )
    for line in table.lines:
        # Text, so that names from outside are not read as markup.
        cells = (Text(cell) for cell in line.cells)
        drawn.add_row(*cells, style="dim" if line.whose == "the paper" else "")
    return drawn


def markdown_of(table: TextTable) -> str:
    """Write a table as a Markdown table; rows of the paper in italics."""
    marks = ["---" if number < table.words else "---:" for number in range(len(table.headings))]
    rows = [[_cell(heading) for heading in table.headings], marks]
    for line in table.lines:
        around = "*" if line.whose == "the paper" else ""
        rows.append([f"{around}{text}{around}" if (text := _cell(c)) else "" for c in line.cells])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def plain(text: str) -> str:
    """Write text into Markdown so that nothing in it is read as markup or HTML."""
    return re.sub(r"([\\`*_\[\]#|])", r"\\\1", text).replace("&", "&amp;").replace("<", "&lt;")


def _cell(text: str) -> str:
    return plain(" ".join(text.split()))
