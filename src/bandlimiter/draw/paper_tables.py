"""The paper's tables 1 and 2 as pictures, from an experiment's document."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bandlimiter.draw.plotting import new_figure
from bandlimiter.draw.rates import STYLES, finished, ordered, rates_panel
from bandlimiter.draw.series import series_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MEANINGS = {
    "minimal": "smallest perturbation found (the paper's protocol)",
    "fixed": "whole budget",
}


def draw_table1(document: dict[str, Any]) -> "Figure":
    """Draw the defence rate under each attack, and how long its perturbations are."""
    series = series_of(document["points"], lambda _: 0.0)
    names = list(dict.fromkeys(each.name for each in series))
    figure, (left, right) = new_figure(2, 11, 4.4)
    for each in series:
        # Side by side, so that intervals do not hide each other.
        place = names.index(each.name) + (-0.12 if each.protocol == "minimal" else 0.12)
        _, marker = STYLES[each.protocol]
        filled = each.colour if each.protocol == "minimal" else "white"
        if each.rates[0] is not None:
            low, high = each.rate_intervals[0]
            ends = [[each.rates[0] - low], [high - each.rates[0]]]
            left.errorbar(
                [place], [each.rates[0]], yerr=ends, capsize=4, fmt=marker, color=each.colour,
                markerfacecolor=filled,
            )  # fmt: skip
        if each.lengths[0] is not None:
            right.plot(
                [place], [each.lengths[0]], marker=marker, color=each.colour,
                markerfacecolor=filled,
            )  # fmt: skip
    for panel in (left, right):
        panel.set_xticks(range(len(names)), names)
        panel.set_xlim(-0.5, len(names) - 0.5)
        panel.grid(alpha=0.3, axis="y")
    left.set_ylim(-0.02, 1.02)
    left.set_ylabel("defence rate (95 % interval)")
    right.set_ylim(bottom=0)
    right.set_ylabel("mean L2 length, pixels")
    for protocol in dict.fromkeys(each.protocol for each in series):
        _, marker = STYLES[protocol]
        filled = "grey" if protocol == "minimal" else "white"
        left.plot([], [], marker=marker, color="grey", markerfacecolor=filled, linestyle="",
                  label=MEANINGS[protocol])  # fmt: skip
    return finished(figure, document, [left])


def draw_table2(document: dict[str, Any]) -> "Figure":
    """Draw the defence rate over K, and how many times the plain model's time an answer takes."""
    points = ordered(document, "directions")
    timed = [point for point in points if point["seconds"]]
    figure, panels = new_figure(2 if timed else 1, 11 if timed else 6.5, 4.4)
    rates_panel(panels[0], series_of(points, lambda point: float(point["directions"])))
    panels[0].set_xlabel("directions K")
    if timed:
        _times(panels[1], timed)
    return finished(figure, document, panels[:1])


def _times(panel: "Axes", timed: Sequence[dict[str, Any]]) -> None:
    """Draw measured times against the paper's rule and the number of evaluations."""
    counts = [point["directions"] for point in timed]
    ratios = [point["seconds"]["ratio"] for point in timed]
    panel.loglog(counts, ratios, color="black", marker="o", label="measured")
    panel.loglog(counts, [2 * k / 3 for k in counts], color="C3", linestyle="--",
                 label="the paper's rule, 2K/3")  # fmt: skip
    panel.loglog(counts, [6 * k + 1 for k in counts], color="grey", linestyle=":",
                 label="evaluations, 6K + 1")  # fmt: skip
    panel.set_xticks(counts, [str(count) for count in counts])
    panel.minorticks_off()
    panel.set_xlabel("directions K")
    panel.set_ylabel("time of an answer, times the plain model's")
    panel.grid(alpha=0.3, which="both")
    panel.legend(loc="upper left")
