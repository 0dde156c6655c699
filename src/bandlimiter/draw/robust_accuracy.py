"""Certified and attacked accuracy in one picture: two curves and the gap."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bandlimiter.draw.plotting import layer_colour, new_figure
from bandlimiter.errors import InputError
from bandlimiter.results import NONE, OURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PER_LINE = 3
"""Curves per line of the legend."""

_NAMES = {OURS: "the average", NONE: "without noise"}


def draw_robust_accuracy(document: Mapping[str, Any], *, title: str = "") -> "Figure":
    """Draw what is certified below what attacks leave, over the L2 radius; L-inf beside it.

    Parameters
    ----------
    document
        As `robust_accuracy` makes it.
    title
        Above the picture.

    Raises
    ------
    InputError
        (a ValueError) where there is no curve.
    MissingExtraError
        Where matplotlib is not installed.
    """
    curves = document["curves"]
    norms = [norm for norm in ("l2", "linf") if any(each.get(norm) for each in curves.values())]
    if not norms:
        raise InputError("expected certified or attacked accuracy to draw, got none")
    figure, panels = new_figure(len(norms), 5.2 * len(norms), 4)
    for panel, norm in zip(panels, norms, strict=True):
        for number, (name, by_norm) in enumerate(curves.items()):
            if points := by_norm.get(norm):
                _draw(panel, _NAMES.get(name, name), points, norm, layer_colour(number))
        panel.set_xlim(left=0)
        panel.set_ylim(0, 1.03)
        panel.set_xlabel("L2 radius in pixels" if norm == "l2" else "L-inf budget, in 1/255")
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("share of images that are right")
    rows = -(-len(panels[0].get_lines()) // _PER_LINE)
    figure.set_size_inches(5.2 * len(norms), 4 + 0.25 * rows)
    figure.legend(
        handles=panels[0].get_lines(), loc="outside lower center", ncols=_PER_LINE, frameon=False
    )
    figure.suptitle(title)
    return figure


def _draw(panel: "Axes", name: str, points: list[dict[str, Any]], norm: str, colour: str) -> None:
    unit = 255 if norm == "linf" else 1
    x = [unit * point["budget"] for point in points]
    attacked = [point["attacked_accuracy"] for point in points]
    panel.plot(x, attacked, "o-", color=colour, label=f"{name}: attacked")
    proven = [point for point in points if "certified_accuracy" in point]
    if proven:
        x = [unit * point["budget"] for point in proven]
        certified = [point["certified_accuracy"] for point in proven]
        attacked = [point["attacked_accuracy"] for point in proven]
        panel.plot(x, certified, "s--", color=colour, label=f"{name}: certified")
        panel.fill_between(x, certified, attacked, color=colour, alpha=0.15, linewidth=0)
