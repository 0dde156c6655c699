"""A cell complex in a box: faces of every dimension, cut by one hyperplane after another."""

import copy
import itertools
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from bandlimiter.errors import ConfigurationError
from bandlimiter.geometry.cutting import cut_by_layer

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]
Scalar = TypeVar("Scalar", bound=np.generic)

_ROOM = 2048
"""Faces of each dimension at first; any number above the box's 32 would do."""


class UnresolvedError(ConfigurationError):
    """Hyperplanes that rounding does not tell from each other, at this tolerance."""


class CellComplex:
    """A box divided into convex cells by hyperplanes that may bend where cells meet.

    The faces' lists live in pools (see `cutting`). A face that is cut gets new lists at
    the pool's end; the old one stays behind until the pool is packed.
    """

    def __init__(self, lower: Floats, upper: Floats, hyperplanes: int) -> None:
        self.dim = len(lower)
        self.lower, self.upper = lower, upper
        corners, lists, labels = _box(self.dim)
        counted = [
            (np.array([len(one) for one in faces]), np.array(list(itertools.chain(*faces))))
            for faces in lists[1:]
        ]
        self._set(np.where(corners, upper, lower), counted, labels)
        self.begin_layer(hyperplanes)
        self.doubtful = False
        """Whether a vertex was neither clearly on a hyperplane nor clearly apart."""

    @property
    def points(self) -> Floats:
        """The vertices: [V, n]."""
        return self._points[: self._size[0]]

    @property
    def patterns(self) -> NDArray[np.uint8]:
        """[cells, bytes] bit-packed: bit h says that the cell lies above hyperplane h."""
        return self._patterns[: self._size[-1]]

    def begin_layer(self, hyperplanes: int) -> None:
        """Forget all patterns and make room for those of one layer, numbered from 0."""
        self._patterns = np.zeros((self._start.shape[1], (hyperplanes + 7) // 8), dtype=np.uint8)

    @property
    def label(self) -> Ids:
        """[facets]: the hyperplane that made each face of dimension n - 1.

        -1 - 2 i stands for the box's lower face along axis i, -2 - 2 i for the upper one.
        """
        return self._label[: self._size[-2]]

    def lists(self, k: int) -> tuple[Ids, Ids]:
        """Return the facets of the faces of dimension k: offsets [F + 1] and items."""
        start, count = self._start[k, : self._size[k]], self._count[k, : self._size[k]]
        offsets = np.concatenate([[0], np.cumsum(count, dtype=np.int64)])
        shift = np.repeat(start - offsets[:-1], count)
        return offsets, self._items[k, np.arange(offsets[-1]) + shift].astype(np.int64)

    def part(self, cells: Ids) -> "tuple[CellComplex, Ids]":
        """Return some cells as a complex of their own, without patterns.

        Returns
        -------
        CellComplex, numpy.ndarray
            The part; and for each of its vertices its number here.
        """
        kept = [np.unique(cells)]
        lists = []
        for k in range(self.dim, 0, -1):
            offsets, items = self.lists(k)
            counts = np.diff(offsets)[kept[-1]]
            chosen = np.repeat(offsets[kept[-1]] - np.cumsum(counts) + counts, counts)
            below, renumbered = np.unique(
                items[chosen + np.arange(counts.sum())], return_inverse=True
            )
            lists.append((counts, renumbered))
            kept.append(below)
        return self.replaced(self.points[kept[-1]], lists[::-1], self.label[kept[1]]), kept[-1]

    def replaced(self, points: Floats, lists: list[tuple[Ids, Ids]], label: Ids) -> "CellComplex":
        """Return a complex of other faces in the same box, without patterns.

        Parameters
        ----------
        points, label
            The vertices, and the facets' labels.
        lists
            For the faces of dimension 1, 2 and so on: how many facets each has, and which.
        """
        new = copy.copy(self)
        new._set(points, lists, label)
        new.begin_layer(0)
        return new

    def _set(self, points: Floats, lists: list[tuple[Ids, Ids]], label: Ids) -> None:
        self._points, self._label = points, label
        self._size = np.zeros(self.dim + 1, dtype=np.int64)
        self._used = np.zeros(self.dim + 1, dtype=np.int64)
        self._start = np.zeros((self.dim + 1, _ROOM), dtype=np.int64)
        self._count = np.zeros((self.dim + 1, _ROOM), dtype=np.int32)
        self._items = np.zeros((self.dim + 1, 4 * _ROOM), dtype=np.int32)
        self._size[0] = len(points)
        for k, (counts, items) in enumerate(lists, start=1):
            self._write(k, counts, items)

    def _write(self, k: int, counts: Ids, items: Ids) -> None:
        """Set the lists of all faces of dimension k."""
        self._size[k], self._used[k] = len(counts), len(items)
        self._start = _wider(self._start, len(counts))
        self._count = _wider(self._count, len(counts))
        self._items = _wider(self._items, len(items))
        self._start[k, : len(counts)] = np.cumsum(counts) - counts
        self._count[k, : len(counts)] = counts
        self._items[k, : len(items)] = items

    def cut(
        self,
        values: Floats,
        thresholds: Floats,
        tolerances: Floats,
        first_bit: int,
        limit: int,
    ) -> Floats:
        """Cut every cell where the leading columns of ``values`` pass the thresholds.

        Parameters
        ----------
        values
            [V, columns]: continuous functions that are affine on each cell, at the
            vertices. The columns that cut come first.
        thresholds
            [P]: each column cuts at all of them.
        tolerances
            [units * P]: how close to its threshold a vertex is on it; it is then set to it.
        first_bit
            The number of the first hyperplane, for labels and patterns.
        limit
            Stop when there are more cells.

        Returns
        -------
        numpy.ndarray
            [V', columns]: the values, with a row for each new vertex.

        Raises
        ------
        UnresolvedError
            Where a hyperplane is so close to others that no tolerance tells them apart.
        """
        need = np.zeros(3, dtype=np.int64)
        done = 0
        while 0 <= done < len(tolerances) and self._size[-1] <= limit:
            self._make_room(need)
            values = _grown(values, self._start.shape[1])
            done = cut_by_layer(
                self._points, values, thresholds, tolerances, first_bit, done, limit,
                self._start, self._count, self._items, self._size, self._used,
                self._label, self._patterns, need,
            )  # fmt: skip
        self.doubtful |= bool(need[2])
        if done < 0:
            raise UnresolvedError(
                f"expected hyperplanes that coincide or keep apart, got one (number "
                f"{first_bit - 1 - done} in the order of patterns) that rounding does not tell "
                "from others; move the box a little, or round the network's weights"
            )
        return values[: self._size[0]]

    def _make_room(self, need: Ids) -> None:
        faces, items = need[:2]
        if items > self._items.shape[1]:
            garbage = self._used.max()
            self._pack()
            items -= garbage - self._used.max()
        self._items = _wider(self._items, items)
        self._start = _wider(self._start, faces)
        self._count = _wider(self._count, faces)
        rows = self._start.shape[1]
        self._points = _grown(self._points, rows)
        self._label = _grown(self._label, rows)
        self._patterns = _grown(self._patterns, rows)

    def _pack(self) -> None:
        """Drop the lists that no face owns any more."""
        for k in range(self.dim + 1):
            offsets, items = self.lists(k)
            self._start[k, : self._size[k]] = offsets[:-1]
            self._items[k, : len(items)] = items
            self._used[k] = len(items)


def _grown(array: NDArray[Scalar], rows: int) -> NDArray[Scalar]:
    """Return the array with at least so many rows; doubled, so that growing stays linear."""
    if rows <= len(array):
        return array
    larger = np.zeros((max(rows, 2 * len(array)), *array.shape[1:]), dtype=array.dtype)
    larger[: len(array)] = array
    return larger


def _wider(array: NDArray[Scalar], columns: int) -> NDArray[Scalar]:
    """Return the array with at least so many columns, rows whole in memory."""
    if columns <= array.shape[1]:
        return array
    return np.ascontiguousarray(_grown(array.T, columns).T)


def _box(dim: int) -> tuple[NDArray[np.bool_], list[list[list[int]]], Ids]:
    """Return the unit box's corners, the facet lists of each dimension, and facet labels.

    A face is written as a word of n letters: 0 or 1 for a coordinate held at its lower or
    upper bound, 2 for a free one. Its facets hold one free coordinate.
    """
    words = list(itertools.product((0, 1, 2), repeat=dim))
    by_dimension = [[w for w in words if w.count(2) == k] for k in range(dim + 1)]
    number = {word: i for group in by_dimension for i, word in enumerate(group)}

    def facets(word: tuple[int, ...]) -> list[int]:
        free = [axis for axis in range(dim) if word[axis] == 2]
        return [number[(*word[:axis], held, *word[axis + 1 :])] for axis in free for held in (0, 1)]

    lists = [[facets(word) for word in group] for group in by_dimension]
    corners = np.array(by_dimension[0], dtype=bool)
    labels = []
    for word in by_dimension[dim - 1]:
        axis = next(axis for axis in range(dim) if word[axis] != 2)
        labels.append(-1 - 2 * axis - word[axis])
    return corners, lists, np.array(labels, dtype=np.int64)
