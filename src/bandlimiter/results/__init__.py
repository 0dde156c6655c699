"""What a run leaves behind: rows, their store, and what can be said from them. No torch."""

from bandlimiter.results.rows import CASCADE, NONE, OURS, SMALLEST, Row, Status
from bandlimiter.results.run_rows import read_rows
from bandlimiter.results.statistics import Difference, Rate, mcnemar, paired_difference, rate
from bandlimiter.results.summary import summarise

__all__ = [
    "CASCADE",
    "NONE",
    "OURS",
    "SMALLEST",
    "Difference",
    "Rate",
    "Row",
    "Status",
    "mcnemar",
    "paired_difference",
    "rate",
    "read_rows",
    "summarise",
]
