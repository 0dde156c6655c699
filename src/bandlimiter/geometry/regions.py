"""The regions that an enumeration found: vertices, patterns, maps, neighbours, volumes."""

from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bandlimiter.geometry.cells import CellComplex
from bandlimiter.geometry.network import Bend, PiecewiseLinear
from bandlimiter.geometry.triangulation import Triangulation, triangulate_faces
from bandlimiter.tensors import as_float64

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]

ROUNDING = 1e-12
"""How far two numbers of maps may differ and be equal, relative to what they sum up over the
network's paths: each path's product is a few hundred roundings off at most."""


class Regions:
    """Activation regions of a network in a box; `enumerate_regions` makes them.

    Attributes
    ----------
    network
        The network as affine pieces.
    vertices
        [V, n] float64, each once, shared by all regions that meet there.
    values
        [V, m]: the network's outputs at the vertices.
    packed_patterns
        [R, ceil(H / 8)] uint8: bit h says that hyperplane h is exceeded in the region (as
        numpy.packbits does; for bits see `patterns`).
    lower, upper
        [n]: the box.
    """

    def __init__(self, network: PiecewiseLinear, complex_: CellComplex, values: Floats) -> None:
        self.network = network
        self.lower, self.upper = complex_.lower, complex_.upper
        self.vertices = complex_.points.copy()
        self.values = values
        self.packed_patterns = complex_.patterns.copy()
        self._facet_labels = complex_.label.copy()
        self._faces = [complex_.lists(k) for k in range(complex_.dim + 1)]

    def __len__(self) -> int:
        """Return R, the number of regions."""
        return len(self.packed_patterns)

    @property
    def dim(self) -> int:
        """n, the number of inputs."""
        return self.network.dim

    @property
    def face_counts(self) -> tuple[int, ...]:
        """Number of faces of each dimension, vertices first, regions last.

        Euler: their alternating sum is 1, as for any convex body cut into convex cells.
        """
        return tuple(len(offsets) - 1 for offsets, _ in self._faces)

    @cached_property
    def patterns(self) -> NDArray[np.bool_]:
        """[R, H] bits: which thresholds are exceeded, unit by unit, layer by layer."""
        count = self.network.hyperplanes
        return np.unpackbits(self.packed_patterns, axis=1, count=count).astype(bool)

    @cached_property
    def affine_maps(self) -> tuple[Floats, Floats]:
        """Weights [R, m, n] and biases [R, m]: f(x) = weights[r] @ x + biases[r] there."""
        return self._maps_of(self.network)

    @property
    def weights(self) -> Floats:
        """[R, m, n]: the gradient of each output in each region."""
        return self.affine_maps[0]

    @property
    def biases(self) -> Floats:
        """[R, m]: the constant of each region's affine map."""
        return self.affine_maps[1]

    @cached_property
    def map_changes(self) -> Floats:
        """[pairs, m, n + 1]: by how much weights and bias change between neighbours.

        From the first to the second region of each pair of `adjacency`; exactly zero where that
        is no more than rounding.
        """
        left, right = self.adjacency.T
        maps, sums = (
            np.concatenate([weights, biases[:, :, None]], axis=2)
            for weights, biases in (self.affine_maps, self._maps_of(self.network.absolute))
        )
        change: Floats = maps[right] - maps[left]
        change[np.abs(change) <= ROUNDING * np.maximum(sums[left], sums[right])] = 0
        return change

    @cached_property
    def triangulation(self) -> Triangulation:
        """The regions cut into simplices; see `triangulate`."""
        return triangulate_faces(self._faces, self.vertices, self.dim)

    @cached_property
    def facet_triangulation(self) -> Triangulation:
        """The facets cut into simplices of dimension n - 1."""
        return triangulate_faces(self._faces[: self.dim], self.vertices, self.dim - 1)

    @cached_property
    def volumes(self) -> Floats:
        """[R]: each region's volume (length or area for n = 1 or 2)."""
        cut = self.triangulation
        return cut.total_by_owner(len(self))

    @cached_property
    def facet_measures(self) -> Floats:
        """[facets]: length, area or volume of each face of dimension n - 1; 1 for n = 1."""
        cut = self.facet_triangulation
        return cut.total_by_owner(self.face_counts[-2])

    @cached_property
    def facet_regions(self) -> Ids:
        """[facets, 2]: the regions on both sides of each facet; -1 outside the box."""
        offsets, items = self._faces[-1]
        owners = np.repeat(np.arange(len(self)), np.diff(offsets))
        order = np.argsort(items, kind="stable")
        facets, owners = items[order], owners[order]
        sides = np.full((self.face_counts[-2], 2), -1)
        first = np.concatenate([[True], facets[1:] != facets[:-1]])
        sides[facets[first], 0] = owners[first]
        sides[facets[~first], 1] = owners[~first]
        return sides

    @property
    def facet_hyperplanes(self) -> Ids:
        """[facets]: the hyperplane that made each facet; negative on the box's boundary.

        -1 - 2 i is the box's lower face along axis i, -2 - 2 i the upper one. Where several
        hyperplanes coincide, the first is named.
        """
        return self._facet_labels

    @cached_property
    def adjacency(self) -> Ids:
        """[pairs, 2]: regions that share a facet."""
        return self.facet_regions[(self.facet_regions >= 0).all(axis=1)]

    def layer_of(self, hyperplane: int) -> Bend:
        """Return the layer that a hyperplane's unit belongs to."""
        return next(layer for layer in self.network.layers if hyperplane < layer.bits.stop)

    def vertices_of(self, region: int) -> Ids:
        """Return the numbers of a region's vertices, in order around it for n = 2."""
        members = np.array([region])
        for offsets, items in reversed(self._faces[1:]):
            lists = [items[offsets[face] : offsets[face + 1]] for face in members]
            members = np.unique(np.concatenate(lists))
        if self.dim != 2:
            return members
        spokes = self.vertices[members] - self.vertices[members].mean(axis=0)
        return members[np.argsort(np.arctan2(spokes[:, 1], spokes[:, 0]))]

    def facet_vertices(self, facet: int) -> Ids:
        """Return the numbers of a facet's vertices."""
        members = np.array([facet])
        for offsets, items in reversed(self._faces[1 : self.dim]):
            lists = [items[offsets[face] : offsets[face + 1]] for face in members]
            members = np.unique(np.concatenate(lists))
        return members

    def locate(self, points: ArrayLike) -> Ids:
        """Return the region that each point [N, n] lies in: [N].

        Found by activation pattern; where no region has a point's pattern (on a border, or
        where a unit is zero but for rounding), by the simplex that the point is deepest in.
        -1 for a point outside the box.
        """
        points = as_float64(points, "points")
        wanted = _as_keys(np.packbits(self.network.patterns(points), axis=1))
        known = _as_keys(self.packed_patterns)
        order = np.argsort(known)
        found = order[np.searchsorted(known[order], wanted).clip(max=len(self) - 1)]
        inside = ((points >= self.lower) & (points <= self.upper)).all(axis=1)
        strangers = np.flatnonzero(inside & (known[found] != wanted))
        found[strangers] = self._owners_of(points[strangers])
        return np.where(inside, found, -1)

    def _owners_of(self, points: Floats) -> Ids:
        """Return the region of the simplex in which each point's least coordinate is largest."""
        cut = self.triangulation
        solid = np.flatnonzero(cut.jacobians > 0)
        corners = self.vertices[cut.simplices[solid]]
        inverses = np.linalg.inv(corners[:, 1:] - corners[:, :1])
        deepest = np.empty(len(points), dtype=np.int64)
        for number, point in enumerate(points):  # few, so that one at a time will do
            shares = np.einsum("qi,qij->qj", point - corners[:, 0], inverses)
            least = np.minimum(shares.min(axis=1), 1 - shares.sum(axis=1))
            deepest[number] = least.argmax()
        return cut.owners[solid[deepest]]

    def _maps_of(self, network: PiecewiseLinear) -> tuple[Floats, Floats]:
        # A group's intermediate values take (n + 1) * width numbers a region.
        groups = np.array_split(self.patterns, max(1, len(self) // 2048))
        maps = [network.affine_maps(group) for group in groups]
        return np.concatenate([m[0] for m in maps]), np.concatenate([m[1] for m in maps])

    def occupancy(self, points: ArrayLike) -> Ids:
        """Return how many of some points [N, n] lie in each region: [R]."""
        found = self.locate(points)
        return np.bincount(found[found >= 0], minlength=len(self))


def triangulate(regions: Regions) -> Triangulation:
    """Cut regions into simplices whose vertices are vertices of the regions.

    Two regions cut their common facet alike. A simplex may have no volume within rounding where
    a region is as flat; it contributes nothing.

    Returns
    -------
    Triangulation
        With ``owners`` numbering regions.
    """
    return regions.triangulation


def _as_keys(packed: NDArray[np.uint8]) -> NDArray[np.void]:
    """View each row of bytes as one value that sorts and compares."""
    wide = np.ascontiguousarray(np.pad(packed, ((0, 0), (0, 1))))  # H = 0 needs a byte too
    return wide.view(np.dtype((np.void, wide.shape[1]))).ravel()
