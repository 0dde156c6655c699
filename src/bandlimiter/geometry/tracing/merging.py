"""Makes one of polygons between which nothing changes."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from bandlimiter.geometry.cells import CellComplex

Ids = NDArray[np.int64]


def cells_beside(cells: CellComplex, edges: Ids) -> Ids:
    """Return the two cells that each inner edge lies between: [edges, 2]."""
    offsets, items = cells.lists(2)
    cell = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    order = np.argsort(items, kind="stable")
    place = np.searchsorted(items[order], edges)
    return np.stack([cell[order[place]], cell[order[place + 1]]], axis=1)


def without_edges(cells: CellComplex, edges: Ids, old: int) -> tuple[CellComplex, Ids]:
    """Return polygons without some inner edges.

    Parameters
    ----------
    cells
        Of two dimensions.
    edges
        What they divide must be convex together.
    old
        The first so many vertices stay. Of the others only those do where three edges still
        meet; the rest lie inside a cell, or inside an edge, whose pieces become one.

    Returns
    -------
    CellComplex, numpy.ndarray
        The polygons; and for each of their vertices its number before.
    """
    offsets, sides = cells.lists(2)
    cell = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    owner = _joined(cells_beside(cells, edges), len(offsets) - 1)
    left = np.delete(np.arange(len(cells.label)), edges)
    vertex = cells.lists(1)[1].reshape(-1, 2)[left].ravel()
    piece = np.repeat(np.arange(len(left)), 2)

    stays = np.bincount(vertex, minlength=len(cells.points)) > 2
    stays[:old] = True
    inside = ~stays[vertex]
    in_turn = np.argsort(vertex[inside], kind="stable")
    edge = _joined(piece[inside][in_turn].reshape(-1, 2), len(left))

    ends = np.flatnonzero(stays[vertex])
    ends = ends[np.argsort(edge[piece[ends]], kind="stable")]
    numbers = np.cumsum(stays) - 1
    _, first = np.unique(edge, return_index=True)
    edge_of = np.full(len(cells.label), -1)
    edge_of[left] = edge
    bounds = np.stack([owner[cell], edge_of[sides]], axis=1)
    bounds = np.unique(bounds[bounds[:, 1] >= 0], axis=0)
    lists = [
        (np.full(len(first), 2), numbers[vertex[ends]]),
        (np.bincount(bounds[:, 0]), bounds[:, 1]),
    ]
    vertices = np.flatnonzero(stays)
    return cells.replaced(cells.points[vertices], lists, cells.label[left[first]]), vertices


def _joined(pairs: Ids, count: int) -> Ids:
    """Return [count] the same number for what pairs hold together, counted from 0."""
    touch = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    numbers: Ids = connected_components(touch, directed=False)[1].astype(np.int64)
    return numbers
