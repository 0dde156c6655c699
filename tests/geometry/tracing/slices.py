"""What must be true of any traced plane, held against the network's own layers."""

import itertools

import numpy as np
import torch

from bandlimiter.geometry import PlaneTrace
from tests.geometry.tracing.watching import Watched

MERGED = 1e-9
"""Of the rectangle: points closer to an edge are in no cell for certain."""


class Sheet:
    """A network on a plane, its layers watched."""

    def __init__(self, network, origin, u, v) -> None:
        self.origin, self.u, self.v = origin, u, v
        self._watched = Watched(network, origin, origin + u)

    def points(self, places: np.ndarray) -> torch.Tensor:
        a, b = (
            torch.from_numpy(column).view(-1, *[1] * self.origin.ndim) for column in places.T.copy()
        )
        return self.origin + a * self.u + b * self.v

    def outputs(self, places: np.ndarray) -> np.ndarray:
        return self._watched.seen(self.points(places))[0].numpy()

    def patterns(self, places: np.ndarray) -> list[bytes]:
        """Thresholds exceeded and winners of windows, everything at once: one key a place."""
        _, given = self._watched.seen(self.points(places))
        states = [self._watched.states(name, g).flatten(1).numpy() for name, g in given.items()]
        return [row.tobytes() for row in np.packbits(np.concatenate(states, axis=1), axis=1)]


def loops(trace: PlaneTrace) -> list[np.ndarray]:
    return [trace.cell_vertices[a:b] for a, b in itertools.pairwise(trace.cell_offsets)]


def centres(trace: PlaneTrace) -> np.ndarray:
    return np.stack([trace.vertices[loop].mean(axis=0) for loop in loops(trace)])


def is_a_mesh(trace: PlaneTrace) -> None:
    """Convex polygons, counterclockwise, that fill the rectangle edge to edge."""
    low_a, high_a, low_b, high_b = trace.extent
    area = (high_a - low_a) * (high_b - low_b)
    assert abs(trace.areas.sum() - area) <= 1e-12 * area  # a sum of some thousand roundings
    assert (trace.areas > 0).all()
    assert len(np.unique(np.sort(trace.edges, axis=1), axis=0)) == len(trace.edges)
    turns_left(trace, 1e-12 * area)
    if (trace.edge_layer == -2).any():
        return  # one that is hidden may end inside an edge of another part
    assert len(trace.vertices) - len(trace.edges) + len(trace.region) == 1  # Euler
    sides = np.concatenate(
        [np.sort(np.stack([loop, np.roll(loop, -1)], axis=1), axis=1) for loop in loops(trace)]
    )
    known, uses = np.unique(sides, axis=0, return_counts=True)
    order = np.lexsort(np.sort(trace.edges, axis=1).T[::-1])
    np.testing.assert_array_equal(known, np.sort(trace.edges, axis=1)[order])
    np.testing.assert_array_equal(uses == 1, trace.edge_layer[order] == -1)


def turns_left(trace: PlaneTrace, rounding: float) -> None:
    """Every corner turns left, or is straight, where a neighbour's edge ends."""
    for loop in loops(trace):
        corners = trace.vertices[loop]
        step = np.roll(corners, -1, axis=0) - corners
        after = np.roll(step, -1, axis=0)
        assert (step[:, 0] * after[:, 1] - step[:, 1] * after[:, 0] >= -rounding).all()


def is_the_networks(trace: PlaneTrace, sheet: Sheet) -> None:
    """Outputs are the network's own at the vertices, and affine on each cell."""
    expected = sheet.outputs(trace.vertices)
    scale = np.abs(expected).max()
    # A few hundred roundings in another order.
    np.testing.assert_allclose(trace.outputs, expected, rtol=0, atol=1e-12 * scale)
    rng = np.random.default_rng(0)
    inside, between = [], []
    for loop in loops(trace):
        share = rng.dirichlet(np.ones(len(loop)))
        inside.append(share @ trace.vertices[loop])
        between.append(share @ trace.outputs[loop])
    np.testing.assert_allclose(between, sheet.outputs(np.stack(inside)), rtol=0, atol=1e-9 * scale)


def has_all_regions(trace: PlaneTrace, sheet: Sheet, scanned: int = 100) -> None:
    """Regions and patterns are one to one; a grid of points meets no other pattern."""
    of_cell = sheet.patterns(centres(trace))
    of_region = dict(zip(trace.region.tolist(), of_cell, strict=True))
    assert len(of_region) == len(trace) == len(set(of_cell))
    assert all(of_region[r] == key for r, key in zip(trace.region.tolist(), of_cell, strict=True))
    low_a, high_a, low_b, high_b = trace.extent
    grid = np.stack(
        np.meshgrid(np.linspace(low_a, high_a, scanned), np.linspace(low_b, high_b, scanned)), -1
    ).reshape(-1, 2)
    clear = grid[distances(trace, grid) > MERGED * (high_a - low_a)]
    assert len(clear) > 0.9 * len(grid) - 4 * scanned
    assert set(sheet.patterns(clear)) <= set(of_cell)


def distances(trace: PlaneTrace, places: np.ndarray) -> np.ndarray:
    """How far each place is from the nearest edge."""
    nearest = np.full(len(places), np.inf)
    for a, b in trace.vertices[trace.edges]:
        along = b - a
        t = ((places - a) @ along / (along @ along)).clip(0, 1)
        nearest = np.minimum(nearest, np.linalg.norm(places - a - t[:, None] * along, axis=1))
    return nearest
