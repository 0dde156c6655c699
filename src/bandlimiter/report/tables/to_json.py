"""Tables as JSON documents."""

from typing import Any

from bandlimiter.report.tables.table import Cell, Measured, Table


def to_json(table: Table) -> dict[str, Any]:
    """Return ``name``, ``title``, ``note``, ``columns`` (key -> heading) and ``rows``.

    A row maps keys to numbers in full; one with an interval has ``KEY_interval`` beside it.
    """
    keys = [column.key for column in table.columns]
    return {
        "name": table.name,
        "title": table.title,
        "note": table.note,
        "columns": {column.key: column.heading for column in table.columns},
        "rows": [
            {
                name: value
                for key, cell in zip(keys, row, strict=True)
                for name, value in _entries(key, cell).items()
            }
            for row in table.rows
        ],
    }


def _entries(key: str, cell: Cell) -> dict[str, Any]:
    if not isinstance(cell, Measured):
        return {key: cell}
    known = cell.low is not None or cell.high is not None
    return {key: cell.value, f"{key}_interval": [cell.low, cell.high] if known else None}
