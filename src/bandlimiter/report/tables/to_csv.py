"""Tables and rows as CSV: numbers in full, and nothing that a spreadsheet would run."""

import csv
import io
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from pydantic import BaseModel

from bandlimiter.report.tables.table import Cell, Column, Measured, Table
from bandlimiter.results import Row

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def to_csv(table: Table) -> str:
    """Return a table as CSV; an interval has columns ``KEY_low`` and ``KEY_high`` of its own."""
    header = [name for column in table.columns for name in _names(column)]
    cells = (
        [
            cell
            for column, value in zip(table.columns, row, strict=True)
            for cell in _cells(column, value)
        ]
        for row in table.rows
    )
    return _written(header, cells)


def rows_csv(rows: Sequence[BaseModel], without: Collection[str] = ()) -> str:
    """Return a run's rows as CSV: a column per field but those named, for attacks the ``status``.

    Nothing, not even a header, where there is no row.
    """
    if not rows:
        return ""
    fields = [name for name in type(rows[0]).model_fields if name not in without]
    attacks = isinstance(rows[0], Row)
    return _written(
        [*fields, *(["status"] if attacks else [])],
        (
            [
                *(_plain(getattr(row, field)) for field in fields),
                *([str(row.status)] if isinstance(row, Row) else []),
            ]
            for row in rows
        ),
    )


def inert(text: str) -> str:
    """Return a text that spreadsheets show and do not compute: quoted where it could be a formula.

    Examples
    --------
    >>> inert("=HYPERLINK(A1)"), inert("cat")
    ("'=HYPERLINK(A1)", 'cat')
    """
    # Spreadsheets skip blanks before they look for a formula.
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text


def _written(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow([inert(name) for name in header])
    writer.writerows(
        [inert(cell) if isinstance(cell, str) else cell for cell in row] for row in rows
    )
    return file.getvalue()


def _names(column: Column) -> list[str]:
    key = column.key
    return [key, f"{key}_low", f"{key}_high"] if column.measured else [key]


def _cells(column: Column, cell: Cell) -> Sequence[Any]:
    if not column.measured:
        return [cell]
    return list(cell) if isinstance(cell, Measured) else [None, None, None]


def _plain(value: Any) -> Any:
    return " ".join(map(str, value)) if isinstance(value, tuple) else value
