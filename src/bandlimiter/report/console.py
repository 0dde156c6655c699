"""The paper's Table 1 for a terminal, with the paper's own figures beside it."""

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from bandlimiter.report.paper import TABLE1, PaperRow, is_paper_s_defence
from bandlimiter.report.side_by_side import side_by_side
from bandlimiter.report.targeted import target_tables
from bandlimiter.results.attack_names import attack_name

_PROTOCOLS = {
    "minimal": "minimal: the smallest perturbation found, counted if within the budget",
    "fixed": "fixed: the whole budget",
    "saved": "saved: adversarial images from files",
}


def result_tables(document: dict[str, Any]) -> Group:
    """Lay out an evaluation's document, a table for each protocol.

    Below each row of the minimal protocol stands the paper's, where the defence is the
    paper's (eps, K, sampler, vote, radius) and the model is made for its data
    (``settings["paper_data"]``).

    Parameters
    ----------
    document
        As `results.summarise` makes it.
    """
    settings, clean = document["settings"], document["clean"]
    head = (
        f"{clean['images']} images, clean accuracy: plain {_rate(clean, 'accuracy')}, "
        f"defended {_rate(clean, 'defended_accuracy')}\n{_defence(settings)}"
    )
    tables = []
    for protocol, title in _PROTOCOLS.items():
        results = [
            result
            for result in document["results"]
            if result["protocol"] == protocol and result["threat"] != "adaptive"
        ]
        if results:
            paper = is_paper_s_defence(settings) and protocol == "minimal"
            if document.get("targeted"):
                title += "; targeted, so an image counts only at its target"
            tables.append(_table(title, results, TABLE1[settings["paper_data"]] if paper else {}))
    return Group(Text(head), *tables, side_by_side(document), *target_tables(document))


def _table(title: str, results: list[dict[str, Any]], paper: dict[str, PaperRow]) -> Table:
    table = Table(
        title=f"\n{title}",
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    table.add_column("attack", no_wrap=True)
    for heading in ("#adv", "beyond\nbudget", "L-inf\n/255", "plain\nattacked"):
        table.add_column(heading, justify="right")
    table.add_column("defended\nattacked", justify="right")
    table.add_column("defence rate\n(95 % interval)", no_wrap=True)
    for result in results:
        table.add_row(*_cells(result))
        if result["attack"] in paper:
            table.add_row(*_paper_cells(paper[result["attack"]]), style="dim")
    return table


def _cells(result: dict[str, Any]) -> list[str]:
    linf = result["mean_linf"]
    return [
        escape(attack_name(result["attack"], quick=result["quick"])),
        str(result["adversarials"]),
        str(result["beyond_budget"]),
        "-" if linf is None else f"{255 * linf:.2f}",
        _share(result["attacked_accuracy"]),
        _share(result["defended_attacked_accuracy"]),
        _rate(result, "defence_rate"),
    ]


def _paper_cells(row: PaperRow) -> list[str]:
    return [
        "  the paper",
        str(row.adversarials),
        "",
        "",
        _share(row.attacked),
        _share(row.defended_attacked),
        _share(row.defence_rate),
    ]


def _defence(settings: dict[str, Any]) -> str:
    if "radius" not in settings:
        return "a defence that is no PostAverage"
    spent = f"{settings['evaluations']} evaluations per answer{_early(settings)}"
    if settings.get("sigma") is not None:
        return f"sigma = {settings['sigma']:g} in pixels; {spent}"
    return (
        f"r = {settings['radius']:.4g} in the network's input space, "
        f"{settings['radius_pixels']:.3g} in pixels; {spent}"
    )


def _early(settings: dict[str, Any]) -> str:
    """Say where answers came sooner; rows of older runs do not tell."""
    if settings.get("stop") == "exact":
        return " at most (stopped where no other label can win)"
    if settings.get("stop") == "anytime":
        return f" at most (stopped early: each label may differ, with p <= {settings['alpha']:g})"
    return ""


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _rate(holder: dict[str, Any], key: str) -> str:
    value, interval = holder[key], holder[f"{key}_interval"]
    return "-" if value is None else f"{value:.3f} ({interval[0]:.2f}-{interval[1]:.2f})"
