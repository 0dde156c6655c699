"""Puts the parts of a plane together: each seam's vertices and edges become one."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandlimiter.geometry.tracing.plane_trace import PlaneTrace

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]


class Seams:
    """Names the vertices of all parts, so that those on a seam have one name in both.

    Two parts cut the edge between them without knowing of each other, and place its new
    vertices in other roundings. But each layer cuts it as often and in the same order for
    both: names go by order, and need no distance within which points are the same.
    """

    def __init__(self) -> None:
        self._count = 0
        self._waiting: dict[tuple[int, int, int], Ids] = {}

    def fresh(self, count: int) -> Ids:
        """Return so many new names."""
        self._count += count
        return np.arange(self._count - count, self._count)

    def extended(self, names: Ids, open_edges: Ids, weights: Floats, layer: int) -> Ids:
        """Return names that go on with those of the vertices that a layer has made.

        Parameters
        ----------
        names, open_edges
            [V] and [O, 2]: the vertices' names and the edges on seams, before the layer.
        weights
            [V', V]: where the vertices lie between those before.
        """
        before = len(names)
        names = np.concatenate([names, self.fresh(len(weights) - before)])
        if not len(open_edges):
            return names
        of_new = weights[before:] > 0
        on_lines = np.flatnonzero(of_new.sum(axis=1) == 2)
        lines = of_new[on_lines].nonzero()[1].reshape(-1, 2) @ [before, 1]
        for a, b in np.sort(open_edges, axis=1):
            rows = before + on_lines[lines == a * before + b]
            if len(rows):
                first, last = (a, b) if names[a] < names[b] else (b, a)
                rows = rows[np.argsort(weights[rows, last])]
                names[rows] = self._shared((names[first], names[last], layer), names[rows])
        return names

    def _shared(self, place: tuple[int, int, int], names: Ids) -> Ids:
        """Return the names that the part on the other side gave, if it has come already."""
        known = self._waiting.pop(place, None)
        if known is None:
            self._waiting[place] = names
        return names if known is None or len(known) != len(names) else known


def joined(parts: list[PlaneTrace], names: list[Ids]) -> PlaneTrace:
    """Put parts of one plane, with disjoint cells, together by the names of their vertices."""
    vertices = np.cumsum([0, *(len(part.vertices) for part in parts)])
    corners = np.cumsum([0, *(len(part.cell_vertices) for part in parts)])

    def stacked(name: str, shifts: Ids | None = None) -> Any:
        columns = [getattr(part, name) for part in parts]
        if shifts is not None:
            columns = [column + shift for column, shift in zip(columns, shifts, strict=False)]
        return np.concatenate(columns)

    offsets = [part.cell_offsets[1:] + shift for part, shift in zip(parts, corners, strict=False)]
    _, kept, number = np.unique(np.concatenate(names), return_index=True, return_inverse=True)
    edges = number[stacked("edges", vertices)]
    _, first = np.unique(np.sort(edges, axis=1), axis=0, return_index=True)
    return replace(
        parts[0],
        vertices=stacked("vertices")[kept],
        outputs=stacked("outputs")[kept],
        cell_offsets=np.concatenate([[0], *offsets]),
        cell_vertices=number[stacked("cell_vertices", vertices)],
        edges=edges[first],
        edge_layer=stacked("edge_layer")[first],
    )
