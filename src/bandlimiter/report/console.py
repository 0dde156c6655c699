"""The paper's Table 1 for a terminal, with the paper's own figures beside it."""

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from bandlimiter.report.paper import TABLE1

_ATTACKS = {"fgsm": "FGSM", "pgd": "PGD", "deepfool": "DeepFool", "cw": "C&W"}


def result_table(document: dict[str, Any]) -> Table:
    """Lay out an evaluation's document as a table.

    Parameters
    ----------
    document
        As `results.summarise` makes it. ``settings["paper_data"]``, ``"cifar10"`` or
        ``"imagenet"``, chooses the paper's rows to show beside the minimal protocol.
    """
    paper = TABLE1.get(document["settings"].get("paper_data") or "", {})
    clean = document["clean"]
    table = Table(
        title=f"{clean['images']} images, clean accuracy: plain "
        f"{_rate(clean, 'accuracy')}, defended {_rate(clean, 'defended_accuracy')}",
        title_justify="left",
        box=SIMPLE_HEAD,
        caption=_defence(document["settings"]),
        caption_justify="left",
        pad_edge=False,
        collapse_padding=True,
    )
    table.add_column("protocol")
    table.add_column("attack")
    for heading in ("#adv", "L-inf\n/255", "plain\nattacked", "defended\nattacked"):
        table.add_column(heading, justify="right")
    table.add_column("defence rate\n(95 % interval)", justify="right", no_wrap=True)
    if paper:
        table.add_column("paper's\nrate", justify="right", style="dim")

    last = None
    for result in document["results"]:
        if last not in (None, result["protocol"]):
            table.add_section()
        last = result["protocol"]
        cells = [
            result["protocol"] + ("\n(quick)" if result["quick"] else ""),
            _ATTACKS.get(result["attack"], result["attack"]),
            str(result["adversarials"]),
            "-" if result["mean_linf"] is None else f"{255 * result['mean_linf']:.2f}",
            _share(result["attacked_accuracy"]),
            _share(result["defended_attacked_accuracy"]),
            _rate(result, "defence_rate"),
        ]
        if paper:
            row = paper.get(result["attack"]) if result["protocol"] == "minimal" else None
            cells.append("-" if row is None else f"{row.defence_rate:.2f}")
        table.add_row(*cells)
    return table


def _defence(settings: dict[str, Any]) -> str | None:
    if "radius" not in settings:
        return None
    return (
        f"r = {settings['radius']:.4g} in the network's input space, "
        f"{settings['radius_pixels']:.3g} in pixels; {settings['evaluations']} evaluations an "
        f"answer; {settings['threads']} threads"
    )


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _rate(holder: dict[str, Any], key: str) -> str:
    value, interval = holder[key], holder[f"{key}_interval"]
    return "-" if value is None else f"{value:.3f} ({interval[0]:.2f}-{interval[1]:.2f})"
