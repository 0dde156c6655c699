"""What pictures of experiments share: lines of defence rates, and what stands around them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bandlimiter.draw.series import Series

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLES = {"minimal": ("-", "o"), "fixed": ("--", "s")}
"""Line and marker of each protocol."""


def rates_panel(panel: "Axes", series: Sequence[Series]) -> None:
    """Draw a line for each attack and protocol, with bands of Wilson intervals; gaps where none."""
    nan = float("nan")
    for each in series:
        style, marker = STYLES[each.protocol]
        rates = [nan if rate is None else rate for rate in each.rates]
        panel.plot(
            each.places, rates, color=each.colour, linestyle=style, marker=marker, markersize=4,
            label=f"{each.name}, {each.protocol}",
        )  # fmt: skip
        low, high = zip(*each.rate_intervals, strict=True)
        panel.fill_between(each.places, low, high, color=each.colour, alpha=0.12, linewidth=0)
    panel.set_ylim(-0.02, 1.02)
    panel.set_ylabel("defence rate (band: 95 % interval)")
    panel.grid(alpha=0.3)


def ordered(document: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """Return the document's points, ascending by what is swept."""
    return sorted(document["points"], key=lambda point: float(point[key]))


def finished(
    figure: "Figure", document: dict[str, Any], panels: "Sequence[Axes]", *, grey: str = ""
) -> "Figure":
    """Put the legend below and say above what was measured on what."""
    first, settings = document["points"][0], document["settings"]
    where = {
        "table1": f"r = {first['radius']:.4g}, K = {first['directions']}, "
        f"epsilon = {255 * first['epsilon']:.3g}/255",
        "table2": f"r = {first['radius']:.4g}, epsilon = {255 * first['epsilon']:.3g}/255",
        "figure2": f"K = {first['directions']}, epsilon = {255 * first['epsilon']:.3g}/255",
        "figure3": f"r = {first['radius']:.4g}, K = {first['directions']}",
    }[document["experiment"]]
    figure.suptitle(
        f"{settings.get('model', 'a model')}, {first['clean']['images']} images, {where}"
        f"{', quick attacks' if settings.get('quick') else ''}"
    )
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=4, fontsize="small", title=grey)
    return figure
