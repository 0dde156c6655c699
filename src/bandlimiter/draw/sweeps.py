"""The paper's figures 2 and 3, drawn from an experiment's document; its tables in `paper_tables`.

Solid lines are the paper's protocol, the smallest perturbations found; dashed ones spend the
whole budget. They stand in one picture because the first alone mislead.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bandlimiter.draw.paper_tables import draw_table1, draw_table2
from bandlimiter.draw.plotting import new_figure, save_figure
from bandlimiter.draw.rates import STYLES, finished, ordered, rates_panel
from bandlimiter.draw.series import series_of
from bandlimiter.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_experiment(document: dict[str, Any], stem: Path) -> list[Path]:
    """Draw an experiment into ``stem.png`` and ``stem.svg``.

    Parameters
    ----------
    document
        Of ``bandlimiter reproduce table1|table2|figure2|figure3``.
    stem
        Where the files go.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    InputError
        (a ValueError) for another experiment, or a document without results.
    MissingExtraError
        Where matplotlib is not installed.
    """
    drawn = DRAWN.get(document["experiment"])
    if drawn is None:
        raise InputError(
            f"expected an experiment of {', '.join(DRAWN)}, got {document['experiment']!r}"
        )
    return save_figure(drawn(document), stem)


def draw_figure2(document: dict[str, Any]) -> "Figure":
    """Draw the defence rate over r, and beside it what clean accuracy r leaves."""
    points = ordered(document, "radius")
    radii = [point["radius"] for point in points]
    figure, (left, right) = new_figure(2, 11, 4.4)
    rates_panel(left, series_of(points, lambda point: float(point["radius"])))
    clean = [point["clean"] for point in points]
    right.plot(
        radii, [each["defended_accuracy"] for each in clean], color="black", marker="o",
        markersize=4, label="averaged",
    )  # fmt: skip
    low, high = zip(*(each["defended_accuracy_interval"] for each in clean), strict=True)
    right.fill_between(radii, low, high, color="black", alpha=0.1, linewidth=0)
    plain = clean[0]["accuracy"]
    right.axhline(plain, color="black", linestyle=":", label=f"plain model, {plain:.3f}")
    right.set_ylim(0, 1.02)
    right.set_ylabel("accuracy on clean images")
    right.legend(loc="lower left")
    settings = document["settings"]
    for panel in (left, right):
        panel.set_xlabel("radius r in the network's input space")
        panel.grid(alpha=0.3)
        if settings.get("paper_radius") and settings.get("scale") is None:
            panel.axvline(settings["paper_radius"], color="grey", linewidth=1, zorder=0)
    return finished(figure, document, [left], grey="vertical line: the paper's r for this data")


def draw_figure3(document: dict[str, Any]) -> "Figure":
    """Draw the defence rate over epsilon, and beside it how many images are adversarial."""
    points = ordered(document, "epsilon")
    series = series_of(points, lambda point: 255 * float(point["epsilon"]))
    figure, (left, right) = new_figure(2, 11, 4.4)
    rates_panel(left, series)
    for each in series:
        style, marker = STYLES[each.protocol]
        right.plot(
            each.places, each.adversarial_shares, color=each.colour, linestyle=style, marker=marker,
            markersize=4,
        )  # fmt: skip
    right.set_ylim(-0.02, 1.02)
    right.set_ylabel("adversarial images found (#Adv), of all images")
    for panel in (left, right):
        panel.set_xlabel("epsilon, in 1/255")
        panel.set_xlim(left=0)
        panel.grid(alpha=0.3)
    return finished(figure, document, [left])


DRAWN: "dict[str, Callable[[dict[str, Any]], Figure]]" = {
    "table1": draw_table1,
    "table2": draw_table2,
    "figure2": draw_figure2,
    "figure3": draw_figure3,
}
