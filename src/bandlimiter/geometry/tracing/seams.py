"""Puts the parts of a plane together: each seam's vertices and edges become one."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from bandlimiter.geometry.tracing.plane_trace import PlaneTrace

Ids = NDArray[np.int64]

NEAR = 1e-12
"""Vertices of different parts this close, relative to the rectangle, are the same one: both
were computed from the same numbers, summed in another order."""


def joined(parts: list[PlaneTrace], open_edges: list[Ids]) -> PlaneTrace:
    """Put parts of one plane together.

    Parameters
    ----------
    parts
        With disjoint cells.
    open_edges
        For each part: its edges that have a cell of another part on their other side.
    """
    vertices = np.cumsum([0, *(len(part.vertices) for part in parts)])
    corners = np.cumsum([0, *(len(part.cell_vertices) for part in parts)])
    regions = np.cumsum([0, *(len(part) for part in parts)])

    def stacked(name: str, shifts: Ids | None = None) -> Any:
        columns = [getattr(part, name) for part in parts]
        if shifts is not None:
            columns = [column + shift for column, shift in zip(columns, shifts, strict=False)]
        return np.concatenate(columns)

    offsets = [part.cell_offsets[1:] + shift for part, shift in zip(parts, corners, strict=False)]
    whole = replace(
        parts[0],
        vertices=stacked("vertices"),
        outputs=stacked("outputs"),
        cell_offsets=np.concatenate([[0], *offsets]),
        cell_vertices=stacked("cell_vertices", vertices),
        region=stacked("region", regions),
        edges=stacked("edges", vertices),
        edge_layer=stacked("edge_layer"),
    )
    on_seam = [
        np.unique(part.edges[edges]) + shift
        for part, edges, shift in zip(parts, open_edges, vertices, strict=False)
    ]
    owner = np.repeat(np.arange(len(parts)), [len(found) for found in on_seam])
    return _sewn(whole, np.concatenate(on_seam), owner)


def _sewn(whole: PlaneTrace, on_seam: Ids, owner: Ids) -> PlaneTrace:
    """Make one vertex of those that lie together and belong to different parts."""
    low_a, high_a, low_b, high_b = whole.extent
    reach = NEAR * max(high_a - low_a, high_b - low_b)
    pairs = cKDTree(whole.vertices[on_seam]).query_pairs(reach, output_type="ndarray")
    pairs = on_seam[pairs[owner[pairs[:, 0]] != owner[pairs[:, 1]]]]
    count = len(whole.vertices)
    same = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    _, number = connected_components(same, directed=False)
    _, kept = np.unique(number, return_index=True)
    ends = np.sort(number[whole.edges], axis=1)
    _, first = np.unique(ends, axis=0, return_index=True)
    first.sort()
    return replace(
        whole,
        vertices=whole.vertices[kept],
        outputs=whole.outputs[kept],
        cell_vertices=number[whole.cell_vertices].astype(np.int64),
        edges=number[whole.edges[first]].astype(np.int64),
        edge_layer=whole.edge_layer[first],
    )
