"""The paper's tables and figures as tables, its own figures beside ours: terminal, Markdown.

Each experiment has a module that lays out a `TextTable` from its document; `text_table` renders it.
"""

from collections.abc import Callable
from typing import Any

from rich.console import Group
from rich.text import Text

from bandlimiter.report.experiments import figure1, figure2, figure3, table1, table2
from bandlimiter.report.experiments.text_table import TextTable, markdown_of, plain, table_of
from bandlimiter.report.paper import CLAIMS

TEXT_TABLES: dict[str, Callable[[dict[str, Any]], TextTable]] = {
    "table1": table1.text_table,
    "table2": table2.text_table,
    "figure1": figure1.text_table,
    "figure2": figure2.text_table,
    "figure3": figure3.text_table,
}
"""By the paper's names."""


def experiment_tables(document: dict[str, Any]) -> Group:
    """Lay out an experiment's document for a terminal, the paper's figures beside ours.

    Parameters
    ----------
    document
        Of ``bandlimiter reproduce``, with ``experiment``, ``settings`` and ``points`` (of
        figure 1: as ``bandlimiter regions`` has it).
    """
    table = TEXT_TABLES[document["experiment"]](document)
    return Group(
        Text(table.head),
        table_of(table),
        *(Text(note) for note in table.notes),
        Text(f"the paper: {CLAIMS[document['experiment']]}", style="dim"),
    )


def experiment_markdown(document: dict[str, Any]) -> str:
    """Return the same as a page of Markdown, with the settings it was made under."""
    table = TEXT_TABLES[document["experiment"]](document)
    parts = [
        f"# {table.title}",
        plain(table.head),
        markdown_of(table),
        *(plain(note) for note in table.notes),
        f"The paper: {plain(CLAIMS[document['experiment']])}",
        f"**{plain(document['verdict'])}**" if document.get("verdict") else "",
        *(f"Warning: {plain(each['message'])}" for each in document.get("warnings", [])),
        _made_with(document["settings"]),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _made_with(settings: dict[str, Any]) -> str:
    """Say what made the figures; what is not known is left out."""
    keys = (
        *("model", "weights", "data", "network", "widths", "points", "epochs", "limit", "limits"),
        *("seed", "quick", "device", "processor", "executor", "workers", "threads"),
        *("worker_seconds", "date"),
    )
    known = ((key, settings.get(key)) for key in keys)
    said = [f"{key} {value}" for key, value in known if value not in (None, {}, "")]
    said += [f"{name} {number}" for name, number in settings.get("versions", {}).items()]
    return plain(f"Made with: {', '.join(said)}.") if said else ""
