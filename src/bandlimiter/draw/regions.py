"""The paper's figure 1: a plane divided by a network, and a small step across it."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bandlimiter.draw.plotting import layer_colour, new_figure
from bandlimiter.errors import InputError
from bandlimiter.geometry import Regions

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

_CLASSES = "o^sDv"
_EMPTY = "#fbeecb"
_ZOOM = 3.0


def draw_regions(
    regions: Regions,
    *,
    points: Floats | None = None,
    labels: NDArray[np.int64] | None = None,
    step: tuple[Floats, Floats] | None = None,
    title: str = "",
    step_title: str = "around the step from A to B",
) -> "Figure":
    """Draw the regions of a network of two inputs.

    Borders have the colour of their layer; regions without a point are tinted. With a
    step, a second panel shows its surroundings, so that crossings can be counted.

    Parameters
    ----------
    regions
        Of n = 2.
    points, labels
        [N, 2] and [N]: what the network was trained on.
    step
        Points A and B, [2] each.
    title, step_title
        Above the picture, and above the panel of the step.

    Raises
    ------
    InputError
        (a ValueError) where n is not 2.
    MissingExtraError
        Where matplotlib is not installed.
    """
    if regions.dim != 2:
        raise InputError(f"expected regions of the plane, got {regions.dim} dimensions")
    figure, panels = new_figure(1 if step is None else 2, 7 if step is None else 13, 7.0)
    for panel in panels:
        _fill_empty(panel, regions, points)
        _draw_borders(panel, regions)
        _draw_points(panel, points, labels)
        panel.set_aspect("equal")
    _frame(panels[0], regions.lower, regions.upper)
    panels[0].set_title(title)
    if step is not None:
        for panel in panels:
            _draw_step(panel, *step)
        centre, reach = (step[0] + step[1]) / 2, _ZOOM * np.linalg.norm(step[1] - step[0])
        _frame(panels[1], centre - reach / 2, centre + reach / 2)
        panels[1].set_title(step_title)
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=6, fontsize="small")
    return figure


def _draw_borders(panel: "Axes", regions: Regions) -> None:
    from matplotlib.collections import LineCollection

    ends = regions.vertices[regions.facet_triangulation.simplices]
    made_by = regions.facet_hyperplanes[regions.facet_triangulation.owners]
    for number, layer in enumerate(regions.network.layers):
        mine = (made_by >= layer.bits.start) & (made_by < layer.bits.stop)
        lines = LineCollection(
            list(ends[mine]), colors=layer_colour(number), linewidths=0.7, zorder=2
        )
        lines.set_label(f"layer {number + 1}: {layer.width} units")
        panel.add_collection(lines)


def _fill_empty(panel: "Axes", regions: Regions, points: Floats | None) -> None:
    from matplotlib.collections import PolyCollection

    if points is None:
        return
    empty = np.flatnonzero(regions.occupancy(points) == 0)
    shapes = [regions.vertices[regions.vertices_of(int(region))] for region in empty]
    tint = PolyCollection(shapes, facecolors=_EMPTY, edgecolors="none", zorder=0)
    tint.set_label(f"no training point ({len(empty)} of {len(regions)} regions)")
    panel.add_collection(tint)


def _draw_points(panel: "Axes", points: Floats | None, labels: NDArray[np.int64] | None) -> None:
    if points is None:
        return
    groups = np.zeros(len(points), dtype=np.int64) if labels is None else labels
    for group in np.unique(groups):
        mine = points[groups == group]
        panel.scatter(
            mine[:, 0],
            mine[:, 1],
            s=9,
            marker=_CLASSES[group % len(_CLASSES)],
            facecolors="white",
            edgecolors=f"C{group}",
            linewidths=0.8,
            zorder=3,
            label="training points" if labels is None else f"class {group}",
        )


def _draw_step(panel: "Axes", a: Floats, b: Floats) -> None:
    panel.plot(*np.stack([a, b]).T, color="magenta", linewidth=1.4, zorder=4)
    for name, point in (("A", a), ("B", b)):
        panel.plot(*point, marker="o", color="magenta", markersize=4, zorder=5)
        panel.annotate(
            name,
            (point[0], point[1]),
            xytext=(5, 5),
            textcoords="offset points",
            fontsize=13,
            fontweight="bold",
            color="magenta",
            zorder=6,
        )


def _frame(panel: "Axes", lower: Floats, upper: Floats) -> None:
    panel.set_xlim(lower[0], upper[0])
    panel.set_ylim(lower[1], upper[1])
    panel.set_xlabel("$x_1$")
    panel.set_ylabel("$x_2$")
