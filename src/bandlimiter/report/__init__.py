"""Tables from stored rows alone; no model, no torch."""

from bandlimiter.report.console import result_table
from bandlimiter.report.paper import TABLE1, PaperRow

__all__ = ["TABLE1", "PaperRow", "result_table"]
