"""What must be true of any traced plane, held against the network's own layers."""

from collections import Counter

import numpy as np
import torch
from scipy.spatial import cKDTree

from bandlimiter.geometry.tracing import PlaneTrace
from bandlimiter.tensors import generator
from tests.geometry.tracing.checks import close
from tests.geometry.tracing.networks import SHAPE
from tests.geometry.tracing.watching import Watched

# Of the rectangle's sides. Points closer to an edge than this are not asked for their pattern.
MARGIN = 1e-9
PRECISION = 1e-9


class Slice(Watched):
    """A network on the points origin + a u + b v, and what its layers are given there."""

    def __init__(self, network, origin, u, v, extent) -> None:
        self.base, self.u, self.v = (torch.as_tensor(part).double() for part in (origin, u, v))
        self.low, self.high = np.reshape(np.asarray(extent, dtype=float), (2, 2)).T
        super().__init__(network, self.inputs([self.low])[0], self.inputs([self.high])[0])
        given = self.on(self.low + np.random.default_rng(0).random((25, 2)) * self.size)[1]
        self.scales = {name: float(numbers.abs().max()) for name, numbers in given.items()}

    @property
    def rounding(self) -> float:
        """Of outputs: of sums, and what they change with roundings of coordinates."""
        furthest = (np.abs([self.low, self.high]).max(axis=0) / self.size).max()
        return 1e-12 * max(1, furthest / 1000)

    @property
    def size(self) -> np.ndarray:
        return self.high - self.low

    def inputs(self, places) -> torch.Tensor:
        a, b = torch.as_tensor(np.asarray(places)).T.reshape(2, -1, *[1] * self.base.ndim)
        return self.base + a * self.u + b * self.v

    def on(self, places) -> tuple[np.ndarray, dict[str, torch.Tensor]]:
        """Return the outputs at coordinates [N, 2], and what each layer is given there."""
        outputs, given = self.seen(self.inputs(places))
        return outputs.numpy(), given

    def patterns(self, places) -> dict[str, torch.Tensor]:
        return {name: self.states(name, given) for name, given in self.on(places)[1].items()}


def holds(trace: PlaneTrace, plane: Slice, scanned: int = 100) -> None:
    """All that holds whatever the network."""
    fits_together(trace)
    returns_outputs(trace, plane)
    affine_inside(trace, plane)
    regions_are_patterns(trace, plane)
    edges_divide(trace, plane)
    nothing_missed(trace, plane, scanned)


def fits_together(trace: PlaneTrace) -> None:
    """Convex polygons that fill the rectangle and meet edge to edge; counts alone say most."""
    low, high = np.reshape(trace.extent, (2, 2)).T
    # Of coordinates, in shares of the sides.
    rounding = 1e-15 * max(1, *(np.abs([low, high]).max(axis=0) / (high - low)))
    # Sums of at most 1e4 terms; what is between cells cancels.
    np.testing.assert_allclose(trace.areas.sum(), np.prod(high - low), rtol=1e-12 + rounding)
    assert (trace.areas > 0).all()
    assert len(trace.vertices) - len(trace.edges) + len(trace) == 1
    assert len(np.unique(trace.vertices, axis=0)) == len(trace.vertices)
    _, begin, end = sides_of(trace)
    sides = np.sort(np.stack([begin, end], axis=1), axis=1)
    drawn, uses = np.unique(sides, axis=0, return_counts=True)
    order = np.lexsort(np.sort(trace.edges, axis=1).T[::-1])
    np.testing.assert_array_equal(drawn, np.sort(trace.edges[order], axis=1))
    np.testing.assert_array_equal(uses == 1, trace.edge_layer[order] == -1)
    assert uses.max() <= 2
    # Corners turn left; rounding may bend a straight one.
    points = (trace.vertices - low) / (high - low)
    span = points[end] - points[begin]
    assert (cross(span, span[next_side(trace)]) > -rounding).all()
    # Points between two on the border are means of equal numbers.
    border = trace.vertices[trace.edges[trace.edge_layer == -1]]
    near = (
        np.minimum(np.abs(border - low), np.abs(border - high)) <= 1e-15 * np.abs([low, high]).max()
    )
    assert near.all(axis=1).any(axis=1).all()


def returns_outputs(trace: PlaneTrace, plane: Slice) -> None:
    """The outputs are the network's own, computed in another order."""
    expected, _ = plane.on(trace.vertices)
    assert trace.outputs.shape == expected.shape
    close(trace.outputs, expected, plane.rounding * np.abs(expected).max())


def affine_inside(trace: PlaneTrace, plane: Slice) -> None:
    """Inside a cell the network's own outputs are the mean of those at three vertices."""
    weights = np.random.default_rng(1).dirichlet(np.ones(3), size=len(trace.cell_vertices))
    cell, begin, end = sides_of(trace)
    corners = np.stack([trace.cell_vertices[trace.cell_offsets[cell]], begin, end], axis=1)
    inside, _ = plane.on(np.einsum("ck,cki->ci", weights, trace.vertices[corners]))
    expected = np.einsum("ck,ckm->cm", weights, trace.outputs[corners])
    close(inside, expected, plane.rounding * np.abs(expected).max())


def regions_are_patterns(trace: PlaneTrace, plane: Slice) -> None:
    """Regions are as many as patterns: thresholds exceeded, and inputs that win windows."""
    nothing = np.zeros((len(trace), 1), dtype=bool)
    states = [found.flatten(1).numpy() for found in plane.patterns(centres(trace)).values()]
    packed = np.packbits(np.concatenate([nothing, *states], axis=1), axis=1)
    assert len(np.unique(packed, axis=0)) == len(trace)


def edges_divide(trace: PlaneTrace, plane: Slice) -> None:
    """Neighbours differ in the edge's layer and in none before it; what differs there is on
    its threshold, or equal to another winner, at both ends of the edge."""
    inner = trace.edge_layer != -1
    ends, layer = trace.edges[inner], trace.edge_layer[inner]
    if not len(ends):
        return
    one, other = neighbours(trace)[inner].T
    patterns = plane.patterns(centres(trace))
    _, given = plane.on(np.concatenate([trace.vertices[ends[:, i]] for i in (0, 1)]))
    assert trace.layers == tuple(plane.layers)
    for number, name in enumerate(trace.layers):
        differ = plane.changes(name, patterns[name][one], patterns[name][other])
        differs = differ.flatten(1).any(dim=1).numpy()
        assert not differs[layer > number].any(), name
        mine = np.flatnonzero(layer == number)
        assert differs[mine].all(), name
        at_ends = torch.stack(given[name].chunk(2), dim=1)[mine].flatten(0, 1)
        if plane.is_pool(name):
            held = plane.held(name, at_ends)
            won = torch.where(patterns[name][one[mine]].repeat_interleave(2, 0), held, -torch.inf)
            lost = torch.where(
                patterns[name][other[mine]].repeat_interleave(2, 0), held, -torch.inf
            )
            gap = (won.amax(dim=2) - lost.amax(dim=2))[:, :, None]
        else:
            gap = at_ends.flatten(1)[:, :, None] - plane.thresholds(name)
        on = gap.abs() <= PRECISION * plane.scales[name]
        assert (on | ~differ[mine].repeat_interleave(2, 0)).all(), name


def nothing_missed(trace: PlaneTrace, plane: Slice, across: int) -> None:
    """A grid of points meets no pattern but that of the cell that it is in."""
    a, b = np.meshgrid(*[(np.arange(across) + 0.5) / across] * 2)
    grid = np.stack([a.ravel(), b.ravel()], axis=1)
    cell, deep = located(trace, grid)
    expected = plane.patterns(centres(trace))
    assert (deep > -MARGIN).all()
    cell, grid = cell[deep > MARGIN], grid[deep > MARGIN]
    for rows in np.array_split(np.arange(len(grid)), -(-len(grid) // 1000)):
        for name, states in plane.patterns(plane.low + grid[rows] * plane.size).items():
            assert not plane.changes(name, states, expected[name][cell[rows]]).any(), name


def located(trace: PlaneTrace, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The cell that each point (in shares of the sides) is deepest in, and how deep."""
    low, high = np.reshape(trace.extent, (2, 2)).T
    corners = (trace.vertices - low) / (high - low)
    _, begin, end = sides_of(trace)
    span = corners[end] - corners[begin]
    span /= np.linalg.norm(span, axis=1, keepdims=True)
    cell, deep = np.zeros(len(points), dtype=int), np.zeros(len(points))
    for number, point in enumerate(points):
        inside = np.minimum.reduceat(cross(span, point - corners[begin]), trace.cell_offsets[:-1])
        cell[number], deep[number] = inside.argmax(), inside.max()
    return cell, deep


def same_plane(first: PlaneTrace, second: PlaneTrace, precision: float = 1e-12) -> None:
    """Two traces have the same vertices, edges and cells, in any order."""
    low, high = np.reshape(first.extent, (2, 2)).T
    assert first.extent == second.extent
    assert first.layers == second.layers
    assert first.vertices.shape == second.vertices.shape
    points = [(trace.vertices - low) / (high - low) for trace in (first, second)]
    distance, number = cKDTree(points[0]).query(points[1])
    assert distance.max() <= precision
    assert len(set(number)) == len(number)
    close(first.outputs[number], second.outputs, 1e-11 * np.abs(second.outputs).max())

    def edges(trace: PlaneTrace, named: np.ndarray) -> Counter[tuple[int, ...]]:
        ends = np.sort(named[trace.edges], axis=1)
        return Counter(map(tuple, np.column_stack([ends, trace.edge_layer]).tolist()))

    def cells(trace: PlaneTrace, named: np.ndarray) -> Counter[frozenset[int]]:
        loops = np.split(named[trace.cell_vertices], trace.cell_offsets[1:-1])
        return Counter(frozenset(loop.tolist()) for loop in loops)

    itself = np.arange(len(first.vertices))
    assert edges(first, itself) == edges(second, number)
    assert cells(first, itself) == cells(second, number)


def plane_of(seed: int) -> torch.Tensor:
    """An origin and two directions, of unequal length and not orthogonal: [3, ...]."""
    drawn = torch.randn(3, *SHAPE, generator=generator(seed, "plane"), dtype=torch.float64)
    drawn[2] = 3 * drawn[2] + drawn[1]
    return drawn


def next_side(trace: PlaneTrace) -> np.ndarray:
    """Of each side of each polygon: the number of the one after it."""
    following = np.arange(1, len(trace.cell_vertices) + 1)
    following[trace.cell_offsets[1:] - 1] = trace.cell_offsets[:-1]
    return following


def sides_of(trace: PlaneTrace) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The cell, the begin and the end of each side of each polygon."""
    cell = np.repeat(np.arange(len(trace)), np.diff(trace.cell_offsets))
    return cell, trace.cell_vertices, trace.cell_vertices[next_side(trace)]


def neighbours(trace: PlaneTrace) -> np.ndarray:
    """The cells on both sides of each edge, -1 outside: [E, 2]."""
    cell, begin, end = sides_of(trace)
    found: dict[tuple[int, int], list[int]] = {}
    for c, a, b in zip(cell.tolist(), begin.tolist(), end.tolist(), strict=True):
        found.setdefault((min(a, b), max(a, b)), []).append(c)
    return np.array([(found[min(a, b), max(a, b)] + [-1])[:2] for a, b in trace.edges.tolist()])


def centres(trace: PlaneTrace) -> np.ndarray:
    """The mean of each cell's vertices: [C, 2]."""
    sums = np.add.reduceat(trace.vertices[trace.cell_vertices], trace.cell_offsets[:-1], axis=0)
    return sums / np.diff(trace.cell_offsets)[:, None]


def cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
