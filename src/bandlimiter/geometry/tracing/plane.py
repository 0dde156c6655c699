"""All regions of a network in a two-dimensional slice of its input space, exactly."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from bandlimiter.errors import ConfigurationError
from bandlimiter.geometry.cells import CellComplex
from bandlimiter.geometry.graph import AffineStep, Graph
from bandlimiter.geometry.graph.steps import GraphStep
from bandlimiter.geometry.tracing.inputs import (
    Progress,
    TraceLimitError,
    place_graph,
    points_per_pass,
    require_limit,
)
from bandlimiter.geometry.tracing.mesh import Mesh
from bandlimiter.geometry.tracing.plane_trace import BORDER, PlaneTrace
from bandlimiter.geometry.tracing.rectangle import Rectangle, read_rectangle
from bandlimiter.geometry.tracing.rounding import tolerances
from bandlimiter.geometry.tracing.seams import Seams, joined

Floats = NDArray[np.float64]

SEEN = np.linspace(0, 1, 5)
"""Of the rectangle's sides: where it is looked at to know the scale of a layer's numbers."""

MOST_POINTS = 500
"""In one part. Each new vertex is written as a mean of all the part's: a bigger part takes more
time for that than it saves."""

FILLED = 1e-10
"""How far the cells' areas may be from the rectangle's, relative, before that is said."""


def trace_plane(
    module: nn.Module | Graph,
    origin: ArrayLike | torch.Tensor,
    u: ArrayLike | torch.Tensor,
    v: ArrayLike | torch.Tensor,
    extent: float | Sequence[float],
    *,
    max_regions: int | None = None,
    memory: float = 512,
    device: str | torch.device | None = None,
    progress: Progress | None = None,
) -> PlaneTrace:
    """Find all linear regions of a network in a rectangle of a plane, in float64.

    Parameters
    ----------
    module
        As for `trace_line`.
    origin, u, v
        [...] one input and two directions, without batch dimension.
    extent
        (a low, a high, b low, b high) of the points origin + a u + b v; one number e is
        (-e, e, -e, e).
    max_regions
        Stop with an error when there are more.
    memory
        Mebibytes that the values at the vertices of one part may fill.
    device
        Where to compute; None is the module's own.
    progress
        Called with (done, total, what); done is the share of the area.

    Returns
    -------
    PlaneTrace
        A region is where the same units exceed their thresholds and the same inputs win their
        pooling windows; it is convex. Regions that are narrower than 1e-13 of the layer's scale
        are part of their neighbours.

    Raises
    ------
    InputError
        (a ValueError) for points of different shapes, not finite, for directions that are
        parallel or zero, or an extent that is empty.
    ConfigurationError
        (a ValueError) for a layer that is not piecewise linear, named in the message; or
        where rounding leaves cells that do not fill the rectangle.
    TraceLimitError
        (a ConfigurationError) beyond ``max_regions``; its ``trace`` holds the cells so far.

    Notes
    -----
    Time grows with the number of vertices times the layers that come after theirs.

    Examples
    --------
    >>> from torch import nn
    >>> network = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 1)).double()
    >>> _ = nn.init.eye_(network[0].weight), nn.init.zeros_(network[0].bias)
    >>> trace = trace_plane(network, [0, 0, 0.5], [1, 0, 0], [0, 1, 0], extent=1)
    >>> len(trace), trace.areas.tolist()
    (4, [1.0, 1.0, 1.0, 1.0])
    """
    require_limit(max_regions, "max_regions")
    rectangle = read_rectangle(origin, u, v, extent)
    graph = place_graph(module, rectangle.origin.shape, device)
    square = CellComplex(np.zeros(2), np.ones(2), 0)
    lattice = np.stack(np.meshgrid(SEEN, SEEN), axis=-1).reshape(-1, 2)
    with torch.inference_mode():
        most_points = min(MOST_POINTS, points_per_pass(graph, memory))
        near = tolerances(graph, rectangle.inputs(lattice).to(graph.device))
        tracer = _Tracer(graph, near, most_points, rectangle)
        tracer.limit, tracer.progress = max_regions, progress
        tracer.run(tracer.mesh(square), 0)
    if not abs(tracer.share - 1) <= FILLED:
        raise ConfigurationError(
            "expected hyperplanes that coincide or keep apart, got some that differ by so little "
            "that their regions do not fill the rectangle; move it a little"
        )
    return tracer.trace()


class _Tracer:
    """Takes meshes through the layers, part after part, and collects what comes out.

    It works in shares of the rectangle's sides, so that a rectangle that is far from the origin,
    or long and thin, loses nothing.
    """

    limit: int | None
    progress: Progress | None

    def __init__(
        self,
        graph: Graph,
        near: list[torch.Tensor],
        most_points: int,
        rectangle: Rectangle,
    ) -> None:
        self._graph, self._most_points, self._rectangle = graph, most_points, rectangle
        self._tolerances = near
        self._layers = {step.target: layer for layer, step in enumerate(graph.layers)}
        self._found: list[PlaneTrace] = []
        self._names: list[NDArray[np.int64]] = []
        self._seams = Seams()
        self._regions = 0
        self.share = 0.0
        """Of the rectangle that has been through all layers."""

    def mesh(self, cells: CellComplex) -> Mesh:
        """Return what to begin with: cells, and the network's inputs at their vertices."""
        inputs = self._rectangle.inputs(cells.points).to(self._graph.device)
        return Mesh(cells, {0: inputs}, self._seams.fresh(len(inputs)))

    def run(self, mesh: Mesh, first_step: int) -> None:
        """Take a mesh through the steps left."""
        for number, step in enumerate(self._graph.steps[first_step:], start=first_step):
            if isinstance(step, AffineStep):
                self._apply(step, number, mesh)
                continue
            open_edges, layer = mesh.open_edges, self._layers[step.target]
            if not mesh.cut(step, layer, self._tolerances[layer]):
                self._apply(step, number, mesh)
                continue
            mesh.names = self._seams.extended(mesh.names, open_edges, mesh.weights, layer)
            blocks = mesh.blocks(self._most_points)
            for block in blocks:
                part = mesh.part(block)
                self._apply(step, number, part)
                if len(blocks) > 1:
                    self.run(part, number + 1)
            if len(blocks) > 1:
                return
            mesh = part
        self._finish(mesh)

    def _apply(self, step: GraphStep, number: int, mesh: Mesh) -> None:
        mesh.registers[step.target] = step.apply(mesh.registers)
        self._graph.forget(mesh.registers, number)

    def _finish(self, mesh: Mesh) -> None:
        offsets, vertices = mesh.polygons
        found = PlaneTrace(
            mesh.cells.points.copy(),
            mesh.registers[self._graph.result].reshape(len(mesh.cells.points), -1).cpu().numpy(),
            offsets,
            vertices,
            mesh.edges,
            np.maximum(mesh.cells.label, BORDER),
            tuple(step.name for step in self._graph.layers),
            self._rectangle.extent,
            self._graph.left_off,
        )
        self._found.append(found)
        self._names.append(mesh.names)
        self._regions += len(found)
        self.share += float(found.areas.sum())
        if self.progress:
            self.progress(round(1000 * self.share), 1000, f"{self._regions} regions")
        if self.limit is not None and self._regions > self.limit:
            raise TraceLimitError(
                f"expected at most {self.limit} regions, got {self._regions} in the first "
                f"{self.share:.3g} of the rectangle; allow more, or take a smaller rectangle",
                self.trace(),
            )

    def trace(self) -> PlaneTrace:
        """Put the parts together."""
        found = joined(self._found, self._names)
        return replace(found, vertices=self._rectangle.places(found.vertices))
