"""A part of a plane, cut into the polygons on which the layers seen so far are affine.

The polygons are a `CellComplex`; beside it stand the registers' values at its vertices. A new
vertex lies between old ones, and takes the same mean of their values: nothing is evaluated
twice within a part.
"""

import sys

import numpy as np
import torch
from numpy.typing import NDArray

from bandlimiter.geometry.cells import CellComplex
from bandlimiter.geometry.graph import BendStep, MaxStep
from bandlimiter.geometry.graph.steps import Tensors
from bandlimiter.geometry.tracing.merging import cells_beside, without_edges

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]


class Mesh:
    """Polygons and the values at their vertices.

    Parameters
    ----------
    cells
        Of two dimensions; an edge's label is the number of the layer that made it.
    registers
        [V, ...] each, at its vertices.
    names
        [V] of its vertices; see `Seams`.
    """

    def __init__(self, cells: CellComplex, registers: Tensors, names: Ids) -> None:
        self.cells, self.registers, self.names = cells, registers, names
        self.weights = np.eye(len(cells.points))
        """[V, V before]: where the vertices lie between those that have values."""

    def cut(self, step: BendStep | MaxStep, layer: int, tolerance: torch.Tensor) -> bool:
        """Cut along a layer; ``layer`` is its number.

        Returns
        -------
        bool
            Whether there are new vertices, which get their values with `part`.
        """
        source = self.registers[step.source]
        if isinstance(step, BendStep):
            self._cut_bend(step, source.flatten(1), layer, tolerance)
        else:
            self._cut_maximum(step.gather(source), layer, tolerance)
        return len(self.weights) > self.weights.shape[1]

    def blocks(self, most_points: int) -> list[Ids]:
        """Divide the cells into blocks that hold at most so many vertices and lie together."""
        offsets, vertices = self._loops
        loops, centres = np.split(vertices, offsets[1:-1]), self._centres
        found, todo = [], [np.arange(len(loops))]
        while todo:
            block = todo.pop()
            held = np.unique(np.concatenate([loops[cell] for cell in block]))
            if len(held) <= most_points or len(block) == 1:
                found.append(block)
                continue
            axis = np.ptp(centres[block], axis=0).argmax()
            block = block[np.argsort(centres[block, axis], kind="stable")]
            todo += [block[len(block) // 2 :], block[: len(block) // 2]]
        return found

    def part(self, block: Ids) -> "Mesh":
        """Return a block of cells with the values at its vertices."""
        cells, vertices = self.cells.part(block)
        weights = self.weights[vertices]
        registers = {r: _between(weights, value) for r, value in self.registers.items()}
        return Mesh(cells, registers, self.names[vertices])

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
        ends: Ids = self.cells.lists(1)[1].reshape(-1, 2)
        return ends

    @property
    def open_edges(self) -> Ids:
        """[O, 2]: those that have a cell of another part on their other side."""
        label = self.cells.label
        uses = np.bincount(self.cells.lists(2)[1], minlength=len(label))
        found: Ids = self.edges[(uses == 1) & (label >= 0)]
        return found

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

    def _cut_bend(
        self, step: BendStep, g: torch.Tensor, layer: int, tolerance: torch.Tensor
    ) -> None:
        thresholds = step.activation.thresholds
        crossed = torch.zeros(g.shape[1], dtype=torch.bool, device=g.device)
        for threshold in thresholds.tolist():
            above, below = g > threshold + tolerance, g < threshold - tolerance
            crossed |= above.any(dim=0) & below.any(dim=0)
        columns = int(crossed.sum())
        near = tolerance[crossed].cpu().numpy().repeat(len(thresholds))
        self._cut_columns(g[:, crossed].cpu().numpy(), columns, thresholds, layer, near)

    def _cut_maximum(self, held: torch.Tensor, layer: int, tolerance: torch.Tensor) -> None:
        """Compare each window's inputs one after another with the largest before them.

        Comparisons that another input wins divide nothing, and are taken back.
        """
        undecided = self._undecided(held, tolerance)
        numbers, near = held[:, undecided].cpu().numpy(), tolerance[undecided].cpu().numpy()
        windows, size = numbers.shape[1:]
        for number in range(1, size):
            lead = numbers[:, :, number] - numbers[:, :, :number].max(axis=2)
            values = np.concatenate([lead, numbers.reshape(len(numbers), -1)], axis=1)
            values = self._cut_columns(values, windows, np.zeros(1), layer, near)
            numbers = values[:, windows:].reshape(len(values), windows, size)
        wins = self._win_in_cells(numbers >= numbers.max(axis=2, keepdims=True) - near[:, None])
        new = np.flatnonzero(self.cells.label == layer)
        pairs = cells_beside(self.cells, new)
        # Pair by pair: the winners of all together may not fit into memory.
        same = [bool((wins[a] & wins[b]).any(axis=1).all()) for a, b in pairs]
        self.cells, kept = without_edges(
            self.cells, new[np.array(same, dtype=bool)], self.weights.shape[1]
        )
        self.weights = self.weights[kept]

    def _undecided(self, held: torch.Tensor, tolerance: torch.Tensor) -> torch.Tensor:
        """Return the windows in which no input is the largest all over some cell."""
        wins = held >= held.amax(dim=2, keepdim=True) - tolerance[:, None]
        (some,) = (~wins.all(dim=0).any(dim=1)).nonzero(as_tuple=True)
        decided = self._win_in_cells(wins[:, some].cpu().numpy()).any(axis=2).all(axis=0)
        return some[torch.from_numpy(~decided).to(some.device)]

    def _win_in_cells(self, wins: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which inputs win at all of a cell's vertices: [V, windows, k] -> [C, ...]."""
        offsets, vertices = self._loops
        found: NDArray[np.bool_] = np.logical_and.reduceat(wins[vertices], offsets[:-1], axis=0)
        return found

    def _cut_columns(
        self, values: Floats, columns: int, thresholds: Floats, layer: int, tolerances: Floats
    ) -> Floats:
        """Cut where the leading columns pass the thresholds."""
        hyperplanes = columns * len(thresholds)
        if hyperplanes == 0:
            return values
        width = values.shape[1]
        both = np.concatenate([values, self.weights], axis=1)
        # New edges are labelled by hyperplanes, counted from 0.
        label = self.cells.label
        label[label >= 0] += hyperplanes
        self.cells.begin_layer(hyperplanes)
        both = self.cells.cut(both, thresholds, tolerances, 0, sys.maxsize)
        label = self.cells.label
        old = label >= hyperplanes
        label[(label >= 0) & ~old] = layer
        label[old] -= hyperplanes
        self.weights = both[:, width:]
        return both[:, :width]


def _between(weights: Floats, values: torch.Tensor) -> torch.Tensor:
    """Return means of values [V, ...] with weights [V', V]; old vertices are only copied."""
    copied = weights.max(axis=1) == 1
    found = values.new_empty(len(weights), *values.shape[1:])
    old = torch.from_numpy(weights[copied].argmax(axis=1)).to(values.device)
    found[torch.from_numpy(copied)] = values[old]
    means = torch.from_numpy(weights[~copied]).to(values).to_sparse()
    mixed = torch.sparse.mm(means, values.flatten(1))
    found[torch.from_numpy(~copied)] = mixed.view(-1, *values.shape[1:])
    return found
