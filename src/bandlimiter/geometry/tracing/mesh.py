"""A part of a plane, cut into the polygons on which the layers seen so far are affine.

The polygons are a `CellComplex`; beside it stand the registers' values at its vertices. A new
vertex lies between old ones, and takes the same mean of their values: nothing is evaluated
twice within a part.
"""

import itertools

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from bandlimiter.geometry.cells import CellComplex
from bandlimiter.geometry.graph import BendStep, MaxStep
from bandlimiter.geometry.graph.steps import Tensors

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]

HIDDEN = -9
"""The label of an edge that divides no region: a comparison in a pooling window which
another input of the window wins. Labels of the rectangle's border are -1 to -4."""

_ANY = np.iinfo(np.int64).max


class Mesh:
    """Polygons and the values at their vertices.

    Parameters
    ----------
    cells
        Of two dimensions; the labels of edges are numbers of hyperplanes of the network.
    registers
        [V, ...] each, at its vertices.
    """

    def __init__(self, cells: CellComplex, registers: Tensors) -> None:
        self.cells, self.registers = cells, registers
        # [V, V before]: where the vertices lie between those that have values.
        self._weights = np.eye(len(cells.points))

    def cut(self, layer: BendStep | MaxStep, first: int, tolerance: float) -> bool:
        """Cut along a layer; ``first`` is its first hyperplane's number.

        Returns
        -------
        bool
            Whether there are new vertices, which get their values with `part`.
        """
        source = self.registers[layer.source]
        if isinstance(layer, BendStep):
            self._cut_bend(layer, source.flatten(1), first, tolerance)
        else:
            self._cut_maximum(layer, source, first, tolerance)
        return len(self._weights) > self._weights.shape[1]

    def blocks(self, most_points: int) -> list[Ids]:
        """Divide the cells into blocks that hold at most so many vertices and lie together.

        Cells of one region are never divided.
        """
        offsets, vertices = self._loops
        component, centres = self.components, self._centres
        found, todo = [], [np.arange(len(component))]
        while todo:
            block = todo.pop()
            held = np.concatenate([vertices[offsets[c] : offsets[c + 1]] for c in block])
            groups, member = np.unique(component[block], return_inverse=True)
            if len(np.unique(held)) <= most_points or len(groups) == 1:
                found.append(block)
                continue
            sums = np.stack([np.bincount(member, c) for c in centres[block].T], axis=1)
            middle = sums / np.bincount(member)[:, None]
            axis = np.ptp(middle, axis=0).argmax()
            rank = np.argsort(np.argsort(middle[:, axis], kind="stable"))
            low = rank[member] < len(groups) // 2
            todo += [block[~low], block[low]]
        return found

    def part(self, block: Ids) -> "Mesh":
        """Return a block of cells with the values at its vertices."""
        cells, vertices = self.cells.part(block)
        weights = self._weights[vertices]
        return Mesh(cells, {r: _between(weights, value) for r, value in self.registers.items()})

    @property
    def components(self) -> Ids:
        """[C]: the same number for cells between which only hidden edges lie."""
        offsets, edges = self.cells.lists(2)
        cell = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        inner = self.cells.label[edges] == HIDDEN
        if not inner.any():
            return np.arange(len(offsets) - 1)
        count = len(offsets) - 1, len(self.cells.label)
        touches = coo_array((np.ones(inner.sum()), (cell[inner], edges[inner])), shape=count)
        numbers = connected_components(touches @ touches.T, directed=False)[1]
        return numbers.astype(np.int64)

    @property
    def polygons(self) -> tuple[Ids, Ids]:
        """Return each cell's vertices, counterclockwise: offsets [C + 1] and numbers."""
        offsets, vertices = self._loops
        cell = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        spokes = self.cells.points[vertices] - self._centres[cell]
        order = np.lexsort((np.arctan2(spokes[:, 1], spokes[:, 0]), cell))
        return offsets, vertices[order]

    @property
    def edges(self) -> Ids:
        """[E, 2]: the numbers of each edge's ends."""
        return self.cells.lists(1)[1].reshape(-1, 2)

    @property
    def _loops(self) -> tuple[Ids, Ids]:
        """Return each cell's vertices in no order: offsets and numbers."""
        offsets, edges = self.cells.lists(2)
        ends = self.edges[edges].ravel()
        cell = np.repeat(np.arange(len(offsets) - 1), 2 * np.diff(offsets))
        order = np.lexsort((ends, cell))
        # Each vertex is an end of two edges of its cell, so that every second one will do.
        return offsets, ends[order][::2]

    @property
    def _centres(self) -> Floats:
        """[C, 2]: the mean of each cell's vertices."""
        offsets, vertices = self._loops
        sums = np.add.reduceat(self.cells.points[vertices], offsets[:-1], axis=0)
        return sums / np.diff(offsets)[:, None]

    def _cut_bend(self, layer: BendStep, g: torch.Tensor, first: int, tolerance: float) -> None:
        thresholds = layer.activation.thresholds
        crossed = torch.zeros(g.shape[1], dtype=torch.bool, device=g.device)
        for threshold in thresholds.tolist():
            above, below = g > threshold + tolerance, g < threshold - tolerance
            crossed |= above.any(dim=0) & below.any(dim=0)
        values = g[:, crossed].cpu().numpy()
        units = np.flatnonzero(crossed.cpu().numpy())
        numbers = (first + units[:, None] * len(thresholds) + np.arange(len(thresholds))).ravel()
        self._cut_columns(values, thresholds, tolerance, numbers)

    def _cut_maximum(
        self, layer: MaxStep, source: torch.Tensor, first: int, tolerance: float
    ) -> None:
        """Compare each window's inputs one after another with the largest before them."""
        held = layer.gather(source)
        windows = self._undecided(held, tolerance)
        kept = held[:, windows].cpu().numpy()
        size = kept.shape[2]
        for number in range(1, size):
            lead = kept[:, :, number] - kept[:, :, :number].max(axis=2)
            numbers = first + windows * size + number
            values = np.concatenate([lead, kept.reshape(len(kept), -1)], axis=1)
            values = self._cut_columns(values, np.zeros(1), tolerance, numbers, len(windows))
            kept = values[:, len(windows) :].reshape(len(values), *kept.shape[1:])
        if len(windows):
            self._hide_beaten(kept, first, windows, tolerance)

    def _undecided(self, held: torch.Tensor, tolerance: float) -> Ids:
        """Return the windows in which no input is the largest all over some cell."""
        offsets, vertices = self._loops
        wins = (held >= held.amax(dim=2, keepdim=True) - tolerance).cpu().numpy()
        undecided = np.zeros(wins.shape[1], dtype=bool)
        for start, stop in itertools.pairwise(offsets):
            everywhere = np.logical_and.reduce(wins[vertices[start:stop]], axis=0)
            undecided |= ~everywhere.any(axis=1)
        return np.flatnonzero(undecided)

    def _hide_beaten(self, kept: Floats, first: int, windows: Ids, tolerance: float) -> None:
        """Hide the edges across which no window changes its winner.

        A comparison is beaten where another input of its window is larger. Windows that
        overlap share comparisons, so that one that is beaten here may count there.
        """
        label, size = self.cells.label, kept.shape[2]
        mine = np.flatnonzero(label >= first)
        window, number = np.divmod(label[mine] - first, size)
        column = np.searchsorted(windows, window)
        behind = kept.max(axis=2)[:, column] - kept[:, column, number]
        ends = self.edges[mine]
        edge = np.arange(len(mine))
        gap = np.maximum(behind[ends[:, 0], edge], behind[ends[:, 1], edge])
        beaten = mine[gap > tolerance]
        wins = kept >= kept.max(axis=2, keepdims=True) - tolerance
        offsets, vertices = self._loops
        for hidden, sides in zip(beaten, self._sides(beaten), strict=True):
            both = np.concatenate([vertices[offsets[c] : offsets[c + 1]] for c in sides])
            if wins[both].all(axis=0).any(axis=1).all():
                label[hidden] = HIDDEN

    def _sides(self, edges: Ids) -> Ids:
        """Return the two cells that each inner edge lies between: [edges, 2]."""
        offsets, items = self.cells.lists(2)
        cell = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        order = np.argsort(items, kind="stable")
        place = np.searchsorted(items[order], edges)
        return np.stack([cell[order[place]], cell[order[place + 1]]], axis=1)

    def _cut_columns(
        self,
        values: Floats,
        thresholds: Floats,
        tolerance: float,
        numbers: Ids,
        columns: int | None = None,
    ) -> Floats:
        """Cut where the leading columns pass the thresholds; label edges by ``numbers``."""
        hyperplanes = len(numbers)
        if hyperplanes == 0:
            return values
        width = values.shape[1]
        both = np.concatenate([values, self._weights], axis=1)
        label = self.cells.label
        label[label >= 0] += hyperplanes
        self.cells.begin_layer(hyperplanes)
        tolerances = np.full(hyperplanes, tolerance)
        both = self.cells.cut(both, thresholds, tolerances, 0, _ANY)
        label = self.cells.label
        new, old = (label >= 0) & (label < hyperplanes), label >= hyperplanes
        label[old] -= hyperplanes
        label[new] = numbers[label[new]]
        self._weights = both[:, width:]
        return both[:, :width]


def _between(weights: Floats, values: torch.Tensor) -> torch.Tensor:
    """Return means of values [V, ...] with weights [V', V]; old vertices are only copied."""
    copied = weights.max(axis=1) == 1
    found = values.new_empty(len(weights), *values.shape[1:])
    old = torch.from_numpy(weights[copied].argmax(axis=1)).to(values.device)
    found[torch.from_numpy(copied)] = values[old]
    means = torch.from_numpy(np.ascontiguousarray(weights[~copied])).to(values)
    used = (means > 0).any(dim=0).nonzero().flatten()
    mixed = means[:, used] @ values[used].flatten(1)
    found[torch.from_numpy(~copied)] = mixed.view(-1, *values.shape[1:])
    return found
