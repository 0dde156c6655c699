"""What a run leaves behind: rows, their store, and what can be said from them. No torch."""

from bandlimiter.results.rows import NONE, OURS, Row, Status
from bandlimiter.results.statistics import Difference, Rate, mcnemar, paired_difference, rate
from bandlimiter.results.store import RowWriter, read_rows
from bandlimiter.results.summary import summarise

__all__ = [
    "NONE",
    "OURS",
    "Difference",
    "Rate",
    "Row",
    "RowWriter",
    "Status",
    "mcnemar",
    "paired_difference",
    "rate",
    "read_rows",
    "summarise",
]
