"""Every table of a run as data: for pages, and as CSV, LaTeX and JSON files."""

from bandlimiter.report.tables.catalogue import tables_of
from bandlimiter.report.tables.study import Study
from bandlimiter.report.tables.table import Column, Measured, Table
from bandlimiter.report.tables.to_csv import rows_csv, to_csv
from bandlimiter.report.tables.to_json import to_json
from bandlimiter.report.tables.to_latex import to_latex
from bandlimiter.report.tables.write import write_tables

__all__ = [
    "Column",
    "Measured",
    "Study",
    "Table",
    "rows_csv",
    "tables_of",
    "to_csv",
    "to_json",
    "to_latex",
    "write_tables",
]
