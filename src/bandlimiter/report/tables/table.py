"""A table before it is CSV, LaTeX, JSON or HTML: columns, and cells that keep their numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple


class Measured(NamedTuple):
    """A number with its 95 % interval; None for an end that is not known."""

    value: float | None
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, holder: Mapping[str, Any], key: str, unit: float = 1) -> "Measured | None":
        """Read ``key`` and ``key_interval`` of a document, in ``unit``; None where not there."""
        value, ends = holder.get(key), holder.get(f"{key}_interval") or (None, None)
        if value is None:
            return None
        low, high = (None if end is None else unit * end for end in ends)
        return cls(unit * value, low, high)


Cell = str | int | float | Measured | None


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes
    ----------
    key
        Its name in CSV and JSON.
    heading
        What people read.
    digits
        Places after the point of numbers that are not whole, where people read them.
    measured
        Whether its cells are `Measured`: then CSV has two columns more, for the interval.
    signed
        Whether positive numbers show their sign.
    text
        Whether it holds words, which align left.
    """

    key: str
    heading: str
    digits: int = 3
    measured: bool = False
    signed: bool = False
    text: bool = False

    def number(self, value: float | int | None) -> str:
        """Return a number as people read it; an unknown one is a dash."""
        if value is None:
            return "-"
        if isinstance(value, int):
            return str(value)
        return f"{value:{'+' if self.signed else ''}.{self.digits}f}"

    def interval(self, cell: Measured) -> str:
        """Return an interval as people read it; empty where there is none."""
        if cell.low is None and cell.high is None:
            return ""
        ends = (
            "more" if end is None else f"{end:{'+' if self.signed else ''}.{self.digits}f}"
            for end in (cell.low, cell.high)
        )
        return " to ".join(ends)


@dataclass(frozen=True)
class Table:
    """A table of a run.

    Attributes
    ----------
    name
        Of its files.
    title, note
        What it is, in one line, and how to read it.
    columns, rows
        As many cells a row as columns.
    """

    name: str
    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    note: str = ""
