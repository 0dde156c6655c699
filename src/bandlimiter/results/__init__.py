"""What a run leaves behind: rows, their store, and what can be said from them. No torch."""

from bandlimiter.results.rows import Row, Status
from bandlimiter.results.statistics import Rate, mcnemar, rate
from bandlimiter.results.store import RowWriter, read_rows
from bandlimiter.results.summary import summarise

__all__ = [
    "Rate",
    "Row",
    "RowWriter",
    "Status",
    "mcnemar",
    "rate",
    "read_rows",
    "summarise",
]
