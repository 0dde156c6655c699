"""Pictures of a line through a network: outputs and crossings along it, and its spectra."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bandlimiter.draw.decisions import label_changes
from bandlimiter.draw.plotting import new_figure
from bandlimiter.geometry.tracing import LineTrace

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

_BINS = 600
_GROUPS = 8
_NAMED_CHANGES = 4
_BANDS_PER_DECADE = 12


def draw_line(
    trace: LineTrace,
    *,
    length: float | None = None,
    names: Sequence[str] | None = None,
    classes: int = 5,
    title: str = "",
) -> "Figure":
    """Draw the outputs along a line, where the label changes, and the crossings so far.

    Parameters
    ----------
    trace
        A line. Long ones are thinned for the picture: of each of 600 parts the
        outputs' first, smallest and largest numbers stay; changes of the label are exact.
    length
        Of the line, for the upper scale: in the network's normalised input space, say.
        Default: ``trace.length``, in the units of the input.
    names
        One for each output.
    classes
        How many outputs to draw at most: those with the largest values, and those that
        lead somewhere.
    title
        Above the picture.

    Raises
    ------
    MissingExtraError
        Where matplotlib is not installed.
    """
    figure, (panel,) = new_figure(1, 9, 7.5)
    panel.remove()
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    _draw_outputs(upper, trace, names, classes)
    _draw_crossings(lower, trace)
    till = "" if trace.reached == 1 else f"; traced up to {trace.reached:.4g}"
    lower.set_xlabel(f"t, from the start (0) to the end (1){till}")
    lower.set_xlim(-0.01, 1.01)
    if trace.reached < 1:
        for panel in (upper, lower):
            panel.axvspan(trace.reached, 1, facecolor="#dddddd", edgecolor="white", hatch="//")
    long = trace.length if length is None else length
    distance = upper.secondary_xaxis("top", functions=(lambda t: t * long, lambda d: d / long))
    distance.set_xlabel(
        "distance from the start" + ("" if length is None else ", normalised units")
    )
    figure.suptitle(title)
    return figure


def draw_line_spectra(
    frequencies: Floats,
    amplitudes: Mapping[str, Floats],
    *,
    kept_ratio: float | None = None,
    title: str = "",
    xlabel: str = r"$|\omega|$ along the line",
) -> "Figure":
    """Draw spectra along a line, and what share of the first one each other one keeps.

    Parameters
    ----------
    frequencies
        [P] ascending; those above 0 are drawn.
    amplitudes
        By name, [P] each, |F|: the plain network's first; then the averaged one's, what
        averaging removes, and so on. Thin: as given; thick: root mean squares over bands,
        twelve a decade, of which the lower panel shows the ratios to the first.
    kept_ratio
        A level to mark in the lower panel: 1 / sqrt(6K + 1), which averaging over 6K + 1
        points keeps of high frequencies.
    title, xlabel
        What the picture shows; what the horizontal axis is.

    Raises
    ------
    MissingExtraError
        Where matplotlib is not installed.
    """
    figure, (panel,) = new_figure(1, 8, 7)
    panel.remove()
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    reference, shown = None, frequencies > 0
    for number, (name, values) in enumerate(amplitudes.items()):
        colour = f"C{number}"
        style = "--" if number > 1 else "-"  # what is removed often lies on the plain curve
        middle, level = _band_means(frequencies[shown], values[shown])
        if len(middle) < shown.sum():
            thin = {"color": colour, "alpha": 0.3, "linewidth": 0.5}
            upper.loglog(frequencies[shown], _visible(values[shown]), **thin)
        line = {"color": colour, "linestyle": style, "linewidth": 1.8}
        upper.loglog(middle, _visible(level), **line, label=name)
        if reference is None:
            reference = level
        else:
            with np.errstate(divide="ignore", invalid="ignore"):
                ratio = np.where(reference > 0, level / reference, np.nan)
            lower.loglog(middle, ratio, **line)
    if kept_ratio is not None:
        label = f"$1/\\sqrt{{6K+1}}$ = {kept_ratio:.3g}"
        lower.axhline(kept_ratio, color="grey", linestyle=":", label=label)
        lower.legend(fontsize="small")
    upper.set_ylabel(r"$|F(\omega)|$")
    lower.set_ylabel(f"ratio to {next(iter(amplitudes))}")
    lower.set_xlabel(xlabel)
    for panel in (upper, lower):
        panel.grid(alpha=0.3)
    upper.legend(fontsize="small")
    upper.set_title(title)
    return figure


def _draw_outputs(
    panel: "Axes", trace: LineTrace, names: Sequence[str] | None, classes: int
) -> None:
    knots, outputs = trace.knots, trace.outputs
    changes = label_changes(knots, outputs)
    labels = [int(outputs[0].argmax()), *(change[2] for change in changes)]
    highest = np.argsort(-outputs.max(axis=0), kind="stable")
    shown = list(dict.fromkeys([*labels, *highest.tolist()]))[: max(classes, len(set(labels)))]
    kept = _thinned(knots, outputs[:, shown])
    for number, label in enumerate(shown):
        name = names[label] if names else f"output {label}"
        panel.plot(knots[kept], outputs[kept, label], color=f"C{number % 10}", label=name)
    colour = {label: f"C{number % 10}" for number, label in enumerate(shown)}
    places = [0.0, *(change[0] for change in changes), trace.reached]
    for label, start, end in zip(labels, places[:-1], places[1:], strict=True):
        panel.axvspan(start, end, color=colour[label], alpha=0.08, linewidth=0)
    for number, (place, before, after) in enumerate(changes):
        panel.axvline(place, color="black", linestyle="--", linewidth=0.8)
        if number < _NAMED_CHANGES:
            said = [names[label] if names else str(label) for label in (before, after)]
            panel.annotate(
                f"{said[0]} → {said[1]} at t = {place:.4g}",
                (place, 0.02),
                xycoords=("data", "axes fraction"),
                xytext=(-4 if place > 0.5 else 4, 13 * number),
                textcoords="offset points",
                ha="right" if place > 0.5 else "left",
                fontsize="small",
                bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1},
            )
    panel.set_ylabel("output")
    panel.grid(alpha=0.3)
    panel.legend(fontsize="small", loc="best")


def _draw_crossings(panel: "Axes", trace: LineTrace) -> None:
    from matplotlib import colormaps

    if not trace.crossings:
        return
    groups = np.array_split(np.array(list(trace.crossings)), min(_GROUPS, len(trace.crossings)))
    places = np.unique(np.concatenate([np.linspace(0, trace.reached, _BINS), trace.t[:_BINS]]))
    heights = [
        np.searchsorted(trace.t[np.isin(trace.layer, group)], places, side="right")
        for group in groups
    ]
    first, said = 1, []
    for group in groups:
        last = first + len(group) - 1
        said.append(f"layer {first}" if first == last else f"layers {first} to {last}")
        first = last + 1
    shades = colormaps["viridis"](np.linspace(0.05, 0.95, len(groups)))
    panel.stackplot(places, *heights, colors=shades, labels=said, step="post", linewidth=0)
    panel.set_ylabel(f"crossings so far ({len(trace)} in all)")
    panel.set_ylim(bottom=0)
    panel.grid(alpha=0.3)
    handles, labels = panel.get_legend_handles_labels()
    panel.legend(
        handles[::-1],
        labels[::-1],
        fontsize="small",
        loc="upper left" if trace.reached > 0.6 else "upper right",
    )


def _thinned(knots: Floats, values: Floats) -> NDArray[np.int64]:
    """Return the rows to draw: of each bin of knots the first, and each column's extremes."""
    if len(knots) <= 3 * _BINS:
        return np.arange(len(knots))
    bins = np.floor(knots / max(knots[-1], 1e-300) * _BINS).astype(np.int64)
    firsts = np.flatnonzero(np.diff(bins, prepend=-1))
    extremes = [
        np.lexsort((sign * column, bins))[firsts] for column in values.T for sign in (1, -1)
    ]
    return np.unique(np.concatenate([firsts, *extremes, [len(knots) - 1]]))


def _band_means(frequencies: Floats, values: Floats) -> tuple[Floats, Floats]:
    """Return the middles of bands and the root mean square of the values in each."""
    band = np.floor(np.log10(frequencies) * _BANDS_PER_DECADE)
    firsts = np.flatnonzero(np.diff(band, prepend=-np.inf))
    counts = np.diff(np.append(firsts, len(band)))
    middle = np.exp(np.add.reduceat(np.log(frequencies), firsts) / counts)
    return middle, np.sqrt(np.add.reduceat(values**2, firsts) / counts)


def _visible(values: Floats) -> Floats:
    """Return what a logarithmic scale can show."""
    return np.maximum(values, 1e-300)
