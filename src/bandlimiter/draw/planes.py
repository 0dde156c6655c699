"""Pictures of a plane through a network: regions, the decision, and marked points."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bandlimiter.draw.decisions import cell_labels, divided_cells
from bandlimiter.draw.plotting import LAYER_COLOURS, layer_colour, new_figure
from bandlimiter.geometry.tracing import PlaneTrace

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

_MANY = 2000
"""Edges from which on an SVG holds them as pixels."""
_SHAPES = "o*DsP^v"
_TICKS = 8
_TINT = 0.22


def draw_trace_plane(
    trace: PlaneTrace,
    *,
    marks: Mapping[str, Floats] | None = None,
    samples: Floats | None = None,
    names: Sequence[str] | None = None,
    axes: tuple[str, str] = ("a", "b"),
    title: str = "",
) -> "Figure":
    """Draw the regions of a plane, borders in the colour of the layer that makes them.

    A thick line is the decision boundary and a faint tint the class on top, both exact.

    Parameters
    ----------
    trace
        A plane; up to seven layers have colours of their own, more a scale by depth.
    marks
        By name, [2] the coordinates of points; those outside are shown by an arrow.
    samples
        [S, 2] coordinates of points that are projected on the plane; those outside are left
        out, and the legend says how many are seen.
    names
        One for each output.
    axes
        What the two coordinates are.
    title
        Above the picture.

    Raises
    ------
    MissingExtraError
        Where matplotlib is not installed.
    """
    few = len(trace.layers) <= len(LAYER_COLOURS)
    figure, (panel,) = new_figure(1, 8.6 if few else 9.6, 9.2)
    low_a, high_a, low_b, high_b = trace.extent
    panel.set_xlim(low_a, high_a)
    panel.set_ylim(low_b, high_b)
    panel.set_aspect("equal")
    if trace.areas.sum() < 0.999 * (high_a - low_a) * (high_b - low_b):
        panel.set_facecolor("#cccccc")  # a part that was not traced
    _tint(panel, trace, names)
    _draw_edges(panel, trace)
    if samples is not None:
        _draw_samples(panel, trace, samples)
    for number, (name, point) in enumerate((marks or {}).items()):
        _draw_mark(panel, trace, name, point, _SHAPES[number % len(_SHAPES)])
    panel.set_xlabel(axes[0])
    panel.set_ylabel(axes[1])
    panel.set_title(title)
    handles, labels = panel.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize="small")
    return figure


def _tint(panel: "Axes", trace: PlaneTrace, names: Sequence[str] | None) -> None:
    """Fill each cell with its class's tint, and draw the boundary between classes."""
    from matplotlib.collections import LineCollection, PolyCollection

    labels = cell_labels(trace)
    shapes: dict[int, list[Floats]] = {}
    boundary: list[Floats] = []
    for cell in np.flatnonzero(labels >= 0):
        corners = trace.cell_vertices[trace.cell_offsets[cell] : trace.cell_offsets[cell + 1]]
        shapes.setdefault(int(labels[cell]), []).append(trace.vertices[corners])
    for _, label, shape, borders in divided_cells(trace, labels):
        shapes.setdefault(label, []).append(shape)
        boundary += borders
    boundary += _between_cells(trace, labels)
    for label in sorted(shapes):
        tint = PolyCollection(
            shapes[label], facecolors=_faint(label), edgecolors="none", antialiased=False, zorder=0
        )
        tint.set_rasterized(True)
        tint.set_label(names[label] if names else f"output {label}")
        panel.add_collection(tint)
    if boundary:
        for colour, width in (("white", 4.0), ("black", 2.2)):
            lines = LineCollection(
                boundary, colors=colour, linewidths=width, capstyle="round", zorder=4
            )
            if colour == "black":
                lines.set_label("decision boundary")
            panel.add_collection(lines)


def _between_cells(trace: PlaneTrace, labels: NDArray[np.int64]) -> list[Floats]:
    """Return the edges between cells of different classes: boundaries that follow an edge."""
    offsets, corners = trace.cell_offsets, trace.cell_vertices
    cell = np.repeat(np.arange(len(labels)), np.diff(offsets))
    following = np.arange(1, len(corners) + 1)
    following[offsets[1:] - 1] = offsets[:-1]
    sides = np.sort(np.stack([corners, corners[following]], axis=1), axis=1)
    order = np.lexsort((sides[:, 1], sides[:, 0]))
    sides, owner = sides[order], labels[cell[order]]
    shared = np.flatnonzero((sides[1:] == sides[:-1]).all(axis=1))
    a, b = owner[shared], owner[shared + 1]
    return list(trace.vertices[sides[shared[(a != b) & (a >= 0) & (b >= 0)]]])


def _draw_edges(panel: "Axes", trace: PlaneTrace) -> None:
    from matplotlib import colormaps
    from matplotlib.collections import LineCollection
    from matplotlib.colors import BoundaryNorm, ListedColormap

    drawn = np.flatnonzero(trace.edge_layer >= 0)
    if not len(drawn):
        return
    # Deep layers first: the long lines of the first ones stay whole on top of them.
    drawn = drawn[np.argsort(-trace.edge_layer[drawn], kind="stable")]
    layer, depth = trace.edge_layer[drawn], len(trace.layers)
    few = depth <= len(LAYER_COLOURS)
    shades = (
        [layer_colour(number) for number in range(depth)]
        if few
        else colormaps["turbo"](np.linspace(0.02, 0.98, depth))
    )
    width = float(np.clip(45 / np.sqrt(max(1, len(drawn))), 0.15, 0.9))
    lines = LineCollection(
        list(trace.vertices[trace.edges[drawn]]),
        array=layer,
        cmap=ListedColormap(shades),
        norm=BoundaryNorm(np.arange(depth + 1) - 0.5, depth),
        linewidths=width,
        zorder=2,
        rasterized=len(drawn) > _MANY,
    )
    panel.add_collection(lines)
    if few:
        for number in range(depth):
            count = int((layer == number).sum())
            panel.plot([], [], color=layer_colour(number), label=f"layer {number + 1} ({count})")
        return
    ticks = np.unique(np.linspace(0, depth - 1, min(depth, _TICKS)).round())
    bar = panel.figure.colorbar(lines, ax=panel, ticks=ticks, shrink=0.8, pad=0.02)
    bar.ax.minorticks_off()
    bar.ax.set_yticklabels([f"{int(tick) + 1}" for tick in ticks])
    bar.set_label("layer that makes the border, by depth")


def _draw_samples(panel: "Axes", trace: PlaneTrace, samples: Floats) -> None:
    inside = samples[_inside(trace, samples)]
    seen = f"samples, projected ({len(inside)} of {len(samples)} seen)"
    for colour, width, label in (("white", 3.5, None), ("black", 1.3, seen)):
        panel.plot(
            *inside.T,
            linestyle="none",
            marker="+",
            markersize=7,
            markeredgewidth=width,
            color=colour,
            zorder=5,
            label=label,
        )


def _draw_mark(panel: "Axes", trace: PlaneTrace, name: str, point: Floats, shape: str) -> None:
    place = np.asarray(point, dtype=np.float64)
    if not _inside(trace, place[None])[0]:
        _point_out(panel, trace, name, place)
        return
    panel.plot(
        *place,
        linestyle="none",
        marker=shape,
        markersize=15 if shape == "*" else 9,
        markerfacecolor="white",
        markeredgecolor="black",
        markeredgewidth=1.5,
        zorder=6,
        clip_on=False,
        label=name,
    )


def _point_out(panel: "Axes", trace: PlaneTrace, name: str, place: Floats) -> None:
    """Show by an arrow where a point lies that is outside, and say how far from the centre."""
    low_a, high_a, low_b, high_b = trace.extent
    centre = np.array([low_a + high_a, low_b + high_b]) / 2
    half = np.array([high_a - low_a, high_b - low_b]) / 2
    away = place - centre
    share = away / np.maximum(np.abs(away / half).max(), 1e-300)  # on the border
    # The text lies inwards of the arrow's tail.
    side = np.where(np.abs(share) > half / 2, -np.sign(away), 0).astype(int)
    panel.annotate(
        f"{name}, {np.linalg.norm(away):.3g} away",
        centre + 0.985 * share,
        xytext=centre + 0.87 * share,
        arrowprops={
            "arrowstyle": "-|>",
            "linewidth": 1.8,
            "color": "black",
            "relpos": (0.5 - side[0] / 2, 0.5 - side[1] / 2),
        },
        bbox={"facecolor": "white", "alpha": 0.85, "edgecolor": "none", "pad": 1.5},
        ha={1: "left", 0: "center", -1: "right"}[int(side[0])],
        va={1: "bottom", 0: "center", -1: "top"}[int(side[1])],
        fontsize="small",
        zorder=6,
    )


def _inside(trace: PlaneTrace, points: Floats) -> NDArray[np.bool_]:
    low_a, high_a, low_b, high_b = trace.extent
    a, b = points.T
    inside: NDArray[np.bool_] = (low_a <= a) & (a <= high_a) & (low_b <= b) & (b <= high_b)
    return inside


def _faint(label: int) -> tuple[float, float, float]:
    """Return a class's colour, mostly white: opaque, so that cells leave no seams."""
    from matplotlib.colors import to_rgb

    red, green, blue = to_rgb(f"C{label % 10}")
    return tuple(1 - _TINT * (1 - part) for part in (red, green, blue))  # type: ignore[return-value]
