"""The table to read first: each defence under the paper's protocol and under stronger attacks."""

from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

HEADINGS = {
    "clean": "clean",
    "minimal": "smallest\nfound",
    "fixed": "whole\nbudget",
    "saved": "given\nimages",
    "adaptive": "adaptive\nattacks",
}
"""What people read above each kind of attack."""

_MEANINGS = {
    "minimal": "smallest found: perturbations of the plain model, the paper's protocol",
    "fixed": "whole budget: spent on the plain model",
    "adaptive": "adaptive attacks: on the defence itself",
}
# Said once, not in each row: beside a longer first column not all fits into 80.
_DIFFERENCES = "difference: how much more {ours} has, on the same images"


def side_by_side(document: dict[str, Any]) -> Group:
    """Lay out each defence's accuracy: the share of images right under all attacks of a kind.

    Parameters
    ----------
    document
        As `results.summarise` makes it.
    """
    lines = document["side_by_side"]
    columns = [column for column in HEADINGS if any(column in line for line in lines)]
    meanings = [_MEANINGS[column] for column in columns if column in _MEANINGS]
    if any(f"{column}_difference" in line for line in lines for column in columns):
        meanings.append(_DIFFERENCES.format(ours=escape(lines[0]["defence"])))
    attack = "targeted attack" if document.get("targeted") else "attack"
    title = f"accuracy: images right under every {attack} of a kind, 95 % intervals"
    table = defence_table(title, "; ".join(meanings), columns)
    for line in lines:
        table.add_row(escape(line["defence"]), *(cell(line, column) for column in columns))
        if any(f"{column}_difference" in line for column in columns):
            cells = (_difference(line, column) for column in columns)
            table.add_row("  difference", *cells, style="dim")
    return Group(table, *_facts(document))


def defence_table(title: str, caption: str, columns: Sequence[str]) -> Table:
    """Return a table without rows: a defence, and a column for each kind of attack."""
    table = Table(
        title=f"\n{title}",
        caption=caption,
        caption_justify="left",
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
        collapse_padding=True,
    )
    table.add_column("defence", no_wrap=True)
    for column in columns:
        table.add_column(HEADINGS[column], justify="right")
    return table


def _facts(document: dict[str, Any]) -> list[Text]:
    facts = [_cascade(result) for result in document["results"] if result["threat"] == "adaptive"]
    for name, found in (document["smallest_budgets"] or {}).items():
        facts.append(_budget(name, found))
    facts += [
        f"warning ({each['kind']}, {each['about']}): {each['message']}"
        for each in document["warnings"]
    ]
    return [Text(fact) for fact in facts if fact]


def _cascade(result: dict[str, Any]) -> str:
    """Say which stage broke how many images, and what other seeds would have done."""
    if result["attack"] != "cascade":
        return ""
    stages = result["stages"] or {"nothing": 0}
    broken = ", ".join(f"{stage} {count}" for stage, count in stages.items())
    quick = " (quick)" if result["quick"] else ""
    return f"{result['attack']}{quick}, images broken by: {broken}{_seeds(result)}"


def _seeds(result: dict[str, Any]) -> str:
    seeds = result["other_seeds"]
    if seeds is None:
        return ""
    ends = sorted({f"{share:.3f}" for share in seeds["accuracies"]})
    shares = ends[0] if len(ends) == 1 else f"{ends[0]} to {ends[-1]}"
    return (
        f"; under {len(seeds['accuracies'])} other direction seeds {shares} of the same images "
        "are right"
    )


def _budget(name: str, found: dict[str, Any]) -> str:
    if found["median"] is None:
        return f"smallest budget, {name}: found for {found['found']} of {found['attacked']} images"
    said = f"smallest budget, {name}: median {255 * found['median']:.2f}/255"
    said += _ends(found["median_interval"], 255)
    if found.get("ratio") is not None:
        said += f", {found['ratio']:.2f} times the plain model's"
        said += _ends(found["ratio_interval"], 1)
    return said


def _ends(interval: list[float | None] | None, unit: float) -> str:
    if interval is None:
        return ""
    low, high = ("more" if end is None else f"{unit * end:.2f}" for end in interval)
    return f" ({low}-{high})"


def cell(line: dict[str, Any], column: str) -> str:
    """Return a rate above its interval; a dash where there is none."""
    if line.get(column) is None:
        return "-"
    low, high = line[f"{column}_interval"]
    return f"{line[column]:.3f}\n{low:.2f}-{high:.2f}"


def _difference(line: dict[str, Any], column: str) -> str:
    value = line.get(f"{column}_difference")
    if value is None:
        return ""
    low, high = line[f"{column}_difference_interval"]
    return f"{value:+.3f}\n{low:+.2f} {high:+.2f}"
