"""All regions of a network in a two-dimensional slice of its input space, exactly."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from bandlimiter.errors import ConfigurationError, InputError
from bandlimiter.geometry.cells import CellComplex
from bandlimiter.geometry.graph import AffineStep, BendStep, Graph
from bandlimiter.geometry.graph.steps import GraphStep
from bandlimiter.geometry.tracing.inputs import (
    Progress,
    TraceLimitError,
    layer_scales,
    place_graph,
    points_per_pass,
)
from bandlimiter.geometry.tracing.mesh import HIDDEN, Mesh
from bandlimiter.geometry.tracing.plane_trace import BORDER, INNER, PlaneTrace
from bandlimiter.geometry.tracing.seams import joined
from bandlimiter.geometry.tracing.sweep import NOISE
from bandlimiter.tensors import as_float64

Floats = NDArray[np.float64]

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
        pooling windows. Regions that are narrower than 1e-13 of the layer's scale are part of
        their neighbours.

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
    base, along, across = _plane(origin, u, v)
    low_a, high_a, low_b, high_b = bounds = _extent(extent)
    graph = place_graph(module, base.shape, device)
    box = CellComplex(np.array([low_a, low_b]), np.array([high_a, high_b]), 0)
    corners = [base + a * along + b * across for a, b in box.points]
    points = torch.from_numpy(np.stack(corners)).to(graph.device)
    with torch.inference_mode():
        scales = layer_scales(graph, points)
        tracer = _Tracer(graph, scales, points_per_pass(graph, memory), bounds)
        tracer.limit, tracer.progress = max_regions, progress
        tracer.run(Mesh(box, {0: points}), 0)
    trace = tracer.trace()
    area = (high_a - low_a) * (high_b - low_b)
    if not abs(trace.areas.sum() - area) <= FILLED * area:
        raise ConfigurationError(
            "expected hyperplanes that coincide or keep apart, got some that differ by so little "
            "that their regions do not fill the rectangle; move it a little"
        )
    return trace


class _Tracer:
    """Takes meshes through the layers, part after part, and collects what comes out."""

    limit: int | None
    progress: Progress | None

    def __init__(
        self,
        graph: Graph,
        scales: list[float],
        most_points: int,
        bounds: tuple[float, float, float, float],
    ) -> None:
        self._graph, self._most_points, self._bounds = graph, most_points, bounds
        self._tolerance = {
            layer.target: NOISE * scale for layer, scale in zip(graph.layers, scales, strict=True)
        }
        counts = [
            torch.Size(layer.shape).numel()
            * (len(layer.activation.thresholds) if isinstance(layer, BendStep)
               else layer.windows.shape[1])
            for layer in graph.layers
        ]  # fmt: skip
        self._bounds_of_layers = np.cumsum([0, *counts])
        self._first = {
            layer.target: int(first)
            for layer, first in zip(graph.layers, self._bounds_of_layers[:-1], strict=True)
        }
        self._found: list[PlaneTrace] = []
        self._open: list[NDArray[np.int64]] = []  # edges whose other cell is in another part
        self._regions, self._area = 0, 0.0

    def run(self, mesh: Mesh, first_step: int) -> None:
        """Take a mesh through the steps left."""
        for number, step in enumerate(self._graph.steps[first_step:], start=first_step):
            if isinstance(step, AffineStep):
                self._apply(step, number, mesh)
                continue
            if not mesh.cut(step, self._first[step.target], self._tolerance[step.target]):
                self._apply(step, number, mesh)
                continue
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
        labels = mesh.cells.label
        layer = np.searchsorted(self._bounds_of_layers, labels, side="right") - 1
        layer = np.where(labels == HIDDEN, INNER, np.where(labels < 0, BORDER, layer))
        offsets, vertices = mesh.polygons
        found = PlaneTrace(
            mesh.cells.points.copy(),
            mesh.registers[self._graph.result].flatten(1).cpu().numpy(),
            offsets,
            vertices,
            mesh.components,
            mesh.edges,
            layer,
            tuple(step.name for step in self._graph.layers),
            self._bounds,
            self._graph.left_off,
        )
        self._found.append(found)
        uses = np.bincount(mesh.cells.lists(2)[1], minlength=len(labels))
        self._open.append(np.flatnonzero((uses == 1) & (layer != BORDER)))
        self._regions += len(found)
        self._area += float(found.areas.sum())
        low_a, high_a, low_b, high_b = self._bounds
        share = self._area / ((high_a - low_a) * (high_b - low_b))
        if self.progress:
            self.progress(round(1000 * share), 1000, f"{self._regions} regions")
        if self.limit is not None and self._regions > self.limit:
            raise TraceLimitError(
                f"expected at most {self.limit} regions, got {self._regions} in the first "
                f"{share:.3g} of the rectangle; allow more, or take a smaller rectangle",
                self.trace(),
            )

    def trace(self) -> PlaneTrace:
        """Put the parts together."""
        return joined(self._found, self._open)


def _plane(
    origin: ArrayLike | torch.Tensor, u: ArrayLike | torch.Tensor, v: ArrayLike | torch.Tensor
) -> tuple[Floats, Floats, Floats]:
    base = as_float64(origin, "the origin")
    along, across = as_float64(u, "u"), as_float64(v, "v")
    if base.ndim == 0 or not base.shape == along.shape == across.shape:
        raise InputError(
            "expected an input and two directions of one shape without batch, got "
            f"{base.shape}, {along.shape} and {across.shape}"
        )
    if not all(np.isfinite(part).all() for part in (base, along, across)):
        raise InputError("expected a finite origin and directions, got NaN or infinite numbers")
    lengths = [np.linalg.norm(part) for part in (along, across)]
    if min(lengths) == 0 or abs(along.ravel() @ across.ravel()) >= (1 - 1e-12) * np.prod(lengths):
        raise InputError("expected two directions that span a plane, got parallel or zero ones")
    return base, along, across


def _extent(extent: float | Sequence[float]) -> tuple[float, float, float, float]:
    numbers = as_float64(extent, "the extent")
    if numbers.ndim == 0:
        numbers = float(numbers) * np.array([-1.0, 1.0, -1.0, 1.0])
    if numbers.shape != (4,) or not np.isfinite(numbers).all():
        raise InputError(
            f"expected an extent of one or four finite numbers, got {np.asarray(extent).tolist()}"
        )
    low_a, high_a, low_b, high_b = numbers.tolist()
    if not (low_a < high_a and low_b < high_b):
        raise InputError(f"expected an extent with low < high, got {numbers.tolist()}")
    return low_a, high_a, low_b, high_b
