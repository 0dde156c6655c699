"""The table to read first: each defence under the paper's protocol and under stronger attacks."""

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

_COLUMNS = {
    "clean": "clean",
    "minimal": "smallest\nfound",
    "fixed": "whole\nbudget",
    "saved": "given\nimages",
    "adaptive": "knowing\nattacks",
}


def side_by_side(document: dict[str, Any]) -> Group:
    """Lay out each defence's accuracy: the share of images right under all attacks of a kind.

    Parameters
    ----------
    document
        As `results.summarise` makes it.
    """
    lines = document["side_by_side"]
    columns = [column for column in _COLUMNS if any(column in line for line in lines)]
    table = Table(
        title="\naccuracy: images right under every attack of a kind, 95 % intervals",
        caption="smallest found, whole budget: made on the plain model; knowing attacks: made on "
        "the defence itself",
        caption_justify="left",
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    table.add_column("defence", no_wrap=True)
    for column in columns:
        table.add_column(_COLUMNS[column], justify="right")
    for line in lines:
        table.add_row(escape(line["defence"]), *(_cell(line, column) for column in columns))
        if any(f"{column}_difference" in line for column in columns):
            cells = (_difference(line, column) for column in columns)
            table.add_row(f"  {lines[0]['defence']} has", *cells, style="dim")
    return Group(table, *_facts(document))


def _facts(document: dict[str, Any]) -> list[Text]:
    facts = [_cascade(result) for result in document["results"] if result["stages"]]
    facts += [
        f"{result['attack']} {result['protocol']} ({result['threat']}): accuracy "
        f"{result['other_seeds']['mean']:.3f} on the same images under other direction seeds"
        for result in document["results"]
        if result["other_seeds"] and result["attack"] == "cascade"
    ]
    for name, found in (document["smallest_budgets"] or {}).items():
        facts.append(_budget(name, found))
    facts += [f"warning ({each['kind']}): {each['message']}" for each in document["warnings"]]
    return [Text(fact) for fact in facts]


def _cascade(result: dict[str, Any]) -> str:
    broken = ", ".join(f"{stage} {count}" for stage, count in result["stages"].items())
    quick = " (quick)" if result["quick"] else ""
    return f"{result['attack']}{quick}, images broken by: {broken}"


def _budget(name: str, found: dict[str, Any]) -> str:
    if found["median"] is None:
        return f"smallest budget, {name}: found for {found['found']} of {found['attacked']} images"
    said = f"smallest budget, {name}: median {255 * found['median']:.2f}/255"
    if found["median_interval"] is None:
        return said
    low, high = ("more" if end is None else f"{255 * end:.2f}" for end in found["median_interval"])
    return f"{said} ({low}-{high})"


def _cell(line: dict[str, Any], column: str) -> str:
    if line.get(column) is None:
        return "-"
    low, high = line[f"{column}_interval"]
    return f"{line[column]:.3f}\n{low:.2f}-{high:.2f}"


def _difference(line: dict[str, Any], column: str) -> str:
    value = line.get(f"{column}_difference")
    if value is None:
        return ""
    low, high = line[f"{column}_difference_interval"]
    return f"{value:+.3f}\n{low:+.2f}-{high:+.2f}"
