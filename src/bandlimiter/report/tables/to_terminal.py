"""Tables for a terminal."""

from typing import TYPE_CHECKING

from bandlimiter.report.tables.table import Cell, Column, Measured, Table
from bandlimiter.results.files import printable

if TYPE_CHECKING:
    import rich.table


def terminal_table(table: Table) -> "rich.table.Table":
    """Lay a table out with rich; an interval stands in brackets behind its number."""
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table as RichTable

    laid = RichTable(
        title=f"\n{escape(table.title)}",
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
        caption=escape(table.note) or None,
        caption_justify="left",
    )
    for column in table.columns:
        laid.add_column(
            escape(printable(column.heading)), justify="left" if column.text else "right"
        )
    for row in table.rows:
        laid.add_row(
            *(_cell(column, cell) for column, cell in zip(table.columns, row, strict=True))
        )
    return laid


def _cell(column: Column, cell: Cell) -> str:
    from rich.markup import escape

    if isinstance(cell, str):
        return escape(printable(cell))
    if isinstance(cell, Measured):
        ends = (cell.low, cell.high)
        if any(end is None for end in ends):
            return column.number(cell.value)
        band = "-".join(f"{end:.2f}" for end in ends)
        return f"{column.number(cell.value)} ({band})"
    return column.number(cell)
