"""Cells cut into simplices, so that neighbours agree on their common faces."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandlimiter.tensors.compiled import compiled

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Triangulation:
    """Simplices of dimension d in n dimensions.

    Attributes
    ----------
    simplices
        [Q, d + 1] numbers of vertices.
    owners
        [Q]: the face (a region, or a facet) that each simplex is a part of.
    jacobians
        [Q]: d! times each simplex's measure; |det(v_j - v_0)| for d = n.
    """

    simplices: Ids
    owners: Ids
    jacobians: Floats

    @property
    def measures(self) -> Floats:
        """[Q]: length, area or volume of each simplex; 1 for points."""
        return self.jacobians / math.factorial(self.simplices.shape[1] - 1)

    def total_by_owner(self, owners: int) -> Floats:
        """Return the measure of each of so many faces: [owners]."""
        totals = np.zeros(owners)
        np.add.at(totals, self.owners, self.measures)
        return totals


def triangulate_faces(
    faces: Sequence[tuple[Ids, Ids]], vertices: Floats, dim: int
) -> Triangulation:
    """Triangulate all faces of dimension ``dim``, given facet lists from vertices upwards.

    Each face is joined from its vertex of the lowest number to the simplices of the facets that
    do not contain it, and facets likewise ("pulling" triangulation). Two faces thus cut their
    common facet alike.
    """
    simplices = np.arange(len(vertices))[:, None]
    begin = np.arange(len(vertices) + 1)
    lowest = np.arange(len(vertices))
    for offsets, items in faces[1 : dim + 1]:
        apex = np.minimum.reduceat(lowest[items], offsets[:-1])
        begin_above = _count(offsets, items, lowest, apex, begin)
        simplices = _join(offsets, items, lowest, apex, begin, simplices, begin_above)
        begin, lowest = begin_above, apex
    owners = np.repeat(np.arange(len(begin) - 1), np.diff(begin))
    return Triangulation(simplices, owners, _jacobians(vertices[simplices]))


@compiled
def _count(offsets: Ids, items: Ids, lowest: Ids, apex: Ids, begin: Ids) -> Ids:
    """Tell where each face's simplices begin: those of its facets without the apex."""
    begin_above = np.zeros(len(offsets), dtype=np.int64)
    for face in range(len(apex)):
        total = begin_above[face]
        for i in range(offsets[face], offsets[face + 1]):
            facet = items[i]
            if lowest[facet] != apex[face]:
                total += begin[facet + 1] - begin[facet]
        begin_above[face + 1] = total
    return begin_above


@compiled
def _join(
    offsets: Ids, items: Ids, lowest: Ids, apex: Ids, begin: Ids, below: Ids, begin_above: Ids
) -> Ids:
    """Join each face's apex to the simplices of its facets that do not contain it."""
    corners = below.shape[1]
    simplices = np.empty((begin_above[-1], corners + 1), dtype=np.int64)
    for face in range(len(apex)):
        row = begin_above[face]
        for i in range(offsets[face], offsets[face + 1]):
            facet = items[i]
            if lowest[facet] == apex[face]:
                continue
            for simplex in range(begin[facet], begin[facet + 1]):
                simplices[row, 0] = apex[face]
                for corner in range(corners):
                    simplices[row, corner + 1] = below[simplex, corner]
                row += 1
    return simplices


def _jacobians(corners: Floats) -> Floats:
    """Return d! times the measures of simplices [Q, d + 1, n], d <= n."""
    edges = corners[:, 1:] - corners[:, :1]
    size, dim = edges.shape[1:]
    # Of the d x d minors (Cauchy and Binet): lengthening one axis costs no digits, as it
    # would in a triangular factor, nor are digits squared away as in a Gram determinant.
    columns = itertools.combinations(range(dim), size)
    minors = [np.linalg.det(edges[:, :, list(chosen)]) for chosen in columns]
    lengths: Floats = np.linalg.norm(minors, axis=0)
    return lengths
