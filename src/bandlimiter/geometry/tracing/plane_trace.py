"""What a traced plane is: a mesh of polygons, and the network's outputs at its vertices."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]

BORDER = -1
"""Instead of an edge's layer: on the rectangle's border."""


@dataclass(frozen=True)
class PlaneTrace:
    """A network on the points origin + a u + b v: affine on each region, a cell of a mesh.

    Attributes
    ----------
    vertices
        [V, 2] the coordinates (a, b) of the mesh's vertices.
    outputs
        [V, m] the network's outputs there.
    cell_offsets, cell_vertices
        [C + 1] and the numbers of each cell's vertices, counterclockwise: convex polygons
        that fill the rectangle and meet edge to edge. Each cell is a region.
    edges, edge_layer
        [E, 2] the numbers of each edge's ends, and [E] which of ``layers`` made it; -1 on the
        rectangle's border.
    layers
        The layers' names, first to last.
    extent
        (a low, a high, b low, b high).
    left_off
        The name of the final softmax that was left off, None where there was none.
    """

    vertices: Floats
    outputs: Floats
    cell_offsets: Ids
    cell_vertices: Ids
    edges: Ids
    edge_layer: Ids
    layers: tuple[str, ...]
    extent: tuple[float, float, float, float]
    left_off: str | None = None

    def __len__(self) -> int:
        """Return the number of regions."""
        return len(self.cell_offsets) - 1

    @property
    def areas(self) -> Floats:
        """[C] each cell's area, in units of the coordinates."""
        cell = np.repeat(np.arange(len(self)), np.diff(self.cell_offsets))
        following = np.arange(1, len(cell) + 1)
        following[self.cell_offsets[1:] - 1] = self.cell_offsets[:-1]
        # From each cell's first vertex, so that small cells far out lose nothing.
        around = self.vertices[self.cell_vertices]
        around = around - around[self.cell_offsets[:-1]][cell]
        x, y = around.T
        cross = x * y[following] - y * x[following]
        areas: Floats = np.add.reduceat(cross, self.cell_offsets[:-1]) / 2
        return areas
