"""Accuracy over the radius, with what may be lost; and labels over K."""

from typing import TYPE_CHECKING, Any

from bandlimiter.draw.plotting import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_tuning(document: dict[str, Any]) -> "Figure":
    """Draw the curve that a radius was chosen from, and beside it the choice of K, if any.

    The band is the paired 95 % interval of the loss, taken from the plain model's accuracy: so
    it shows which radii are told apart from the plain model, not how far the accuracy itself
    may be off.

    Parameters
    ----------
    document
        As ``bandlimiter tune --json`` prints it.

    Raises
    ------
    MissingExtraError
        Where matplotlib is not installed.
    """
    chosen = document["directions"]
    figure, panels = new_figure(1 if chosen is None else 2, 7 if chosen is None else 12, 4.6)
    _radii(panels[0], document)
    if chosen is not None:
        _counts(panels[1], chosen)
    settings = document["settings"]
    figure.suptitle(
        f"{settings['model']}, {document['images']} clean images, K = {settings['directions']}, "
        f"sampler {settings['sampler']}"
    )
    return figure


def _radii(panel: "Axes", document: dict[str, Any]) -> None:
    plain, curve = document["plain_accuracy"], document["curve"]
    radii = [point["radius"] for point in curve]
    low = [plain - point["loss_interval"][1] for point in curve]
    high = [min(1.0, plain - point["loss_interval"][0]) for point in curve]
    panel.fill_between(radii, low, high, color="C0", alpha=0.18, linewidth=0)
    panel.plot(
        radii, [point["accuracy"] for point in curve], color="C0", marker=".", label="averaged"
    )
    panel.axhline(plain, color="black", linewidth=1, label=f"plain model, {plain:.3f}")
    panel.axhline(
        plain - document["most_loss"],
        color="black",
        linestyle="--",
        linewidth=1,
        label=f"{document['most_loss']:g} less",
    )
    panel.axvline(
        document["radius"],
        color="C3",
        linewidth=1.2,
        label=f"chosen: r = {document['radius']:.4g} ({document['radius_pixels']:.3g} in pixels)",
    )
    panel.set_xlim(0, max(radii))
    panel.set_xlabel("radius r in the network's input space")
    panel.set_ylabel("accuracy (band: paired 95 % interval of the loss)")
    panel.grid(alpha=0.3)
    panel.legend(loc="lower left")


def _counts(panel: "Axes", choice: dict[str, Any]) -> None:
    *points, largest = choice["points"]
    counts = [point["directions"] for point in points]
    shares = [point["differing_share"] for point in points]
    ends = [point["differing_share_interval"] for point in points]
    below = [share - low for share, (low, _) in zip(shares, ends, strict=True)]
    above = [high - share for share, (_, high) in zip(shares, ends, strict=True)]
    panel.errorbar(
        range(len(counts)), shares, yerr=[below, above], fmt="o", color="C0", capsize=4,
        label="share, with 95 % interval",
    )  # fmt: skip
    panel.axhline(
        choice["most_differing"], color="black", linestyle="--", linewidth=1, label="the bound"
    )
    if choice["chosen"] in counts:
        panel.axvline(
            counts.index(choice["chosen"]), color="C3", linewidth=1.2, zorder=0,
            label=f"chosen: K = {choice['chosen']}",
        )  # fmt: skip
    panel.set_xticks(
        range(len(counts)), [f"K = {count}\n{6 * count + 1} evaluations" for count in counts]
    )
    panel.set_xlim(-0.5, len(counts) - 0.5)
    panel.set_ylim(0, 1.45 * max([choice["most_differing"], *(high for _, high in ends)]))
    panel.set_ylabel(f"images with another label than with K = {largest['directions']}")
    panel.grid(alpha=0.3, axis="y")
    panel.legend(loc="upper right")
