"""Tables from stored rows alone; no model, no torch."""

from bandlimiter.report.console import result_tables
from bandlimiter.report.paper import TABLE1, PaperRow

__all__ = ["TABLE1", "PaperRow", "result_tables"]
