"""The paper's Table 1 for a terminal, with the paper's own figures beside it."""

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from bandlimiter.report.paper import TABLE1, PaperRow, is_paper_s_defence

_ATTACKS = {"fgsm": "FGSM", "pgd": "PGD", "deepfool": "DeepFool", "cw": "C&W"}


def result_table(document: dict[str, Any]) -> Table:
    """Lay out an evaluation's document as a table.

    Below each row of the minimal protocol stands the paper's, where the defence is the
    paper's (eps, K, sampler, vote, radius) and so is the kind of data
    (``settings["paper_data"]``).

    Parameters
    ----------
    document
        As `results.summarise` makes it.
    """
    settings, clean = document["settings"], document["clean"]
    table = Table(
        title=f"{clean['images']} images, clean accuracy: plain "
        f"{_rate(clean, 'accuracy')}, defended {_rate(clean, 'defended_accuracy')}",
        title_justify="left",
        caption=_defence(settings),
        caption_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    table.add_column("protocol")
    table.add_column("attack")
    for heading in ("#adv", "beyond\nbudget", "L-inf\n/255", "plain\nattacked"):
        table.add_column(heading, justify="right")
    table.add_column("defended\nattacked", justify="right")
    table.add_column("defence rate\n(95 % interval)", no_wrap=True)

    paper = TABLE1[settings["paper_data"]] if is_paper_s_defence(settings) else {}
    last = None
    for result in document["results"]:
        if last not in (None, result["protocol"]):
            table.add_section()
        last = result["protocol"]
        table.add_row(*_cells(result))
        if result["protocol"] == "minimal" and result["attack"] in paper:
            table.add_row(*_paper_cells(paper[result["attack"]]), style="dim")
    return table


def _cells(result: dict[str, Any]) -> list[str]:
    linf = result["mean_linf"]
    return [
        result["protocol"] + (" (quick)" if result["quick"] else ""),
        escape(_ATTACKS.get(result["attack"], result["attack"])),
        str(result["adversarials"]),
        str(result["beyond_budget"]),
        "-" if linf is None else f"{255 * linf:.2f}",
        _share(result["attacked_accuracy"]),
        _share(result["defended_attacked_accuracy"]),
        _rate(result, "defence_rate"),
    ]


def _paper_cells(row: PaperRow) -> list[str]:
    return [
        "",
        "(paper)",
        str(row.adversarials),
        "",
        "",
        _share(row.attacked),
        _share(row.defended_attacked),
        _share(row.defence_rate),
    ]


def _defence(settings: dict[str, Any]) -> str | None:
    if "radius" not in settings:
        return None
    return (
        f"r = {settings['radius']:.4g} in the network's input space, "
        f"{settings['radius_pixels']:.3g} in pixels; {settings['evaluations']} evaluations an "
        "answer"
    )


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _rate(holder: dict[str, Any], key: str) -> str:
    value, interval = holder[key], holder[f"{key}_interval"]
    return "-" if value is None else f"{value:.3f} ({interval[0]:.2f}-{interval[1]:.2f})"
