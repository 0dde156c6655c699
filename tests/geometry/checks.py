"""What must be true of any network's regions, and of any refusal."""

import contextlib
import math
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
from scipy.spatial import ConvexHull, QhullError
from torch import nn

from bandlimiter.errors import BandlimiterError
from bandlimiter.geometry import Regions
from tests.geometry.networks import evaluate


@contextlib.contextmanager
def refuses(error: type[BandlimiterError], *words: str) -> Iterator[None]:
    """The error that is meant, a ValueError, in one line that says all of these words."""
    with pytest.raises(error) as caught:
        yield
    message = str(caught.value)
    assert isinstance(caught.value, ValueError)
    assert "\n" not in message
    assert "expected" in message
    for word in words:
        assert word in message, f"{word!r} is not in {message!r}"


def euler(counts) -> int:
    return sum((-1) ** k * count for k, count in enumerate(counts))


def is_sound(regions: Regions, network: nn.Module, *, tolerance: float = 1e-10) -> None:
    """All that holds whatever the network: counts, volumes, values, maps, patterns, sides."""
    fills_the_box(regions)
    has_neighbours(regions)
    agrees_with(regions, network, tolerance)


def fills_the_box(regions: Regions) -> None:
    """Volumes to 1e-10: sums of at most 1e5 terms, each good to a few ulps of the box's."""
    assert euler(regions.face_counts) == 1
    assert regions.face_counts[-1] == len(regions)
    assert regions.volumes.shape == (len(regions),)
    sides = regions.upper - regions.lower
    assert regions.volumes.sum() == pytest.approx(sides.prod(), rel=1e-10)
    surface = {
        -1 - 2 * axis - upper: np.delete(sides, axis).prod()
        for axis in range(regions.dim)
        for upper in (0, 1)
    }
    outside = (regions.facet_regions < 0).any(axis=1)
    labels = regions.facet_hyperplanes
    np.testing.assert_array_equal(outside, labels < 0)
    for label, area in surface.items():
        of_side = np.flatnonzero(labels == label)
        assert regions.facet_measures[of_side].sum() == pytest.approx(area, rel=1e-10)
        axis, upper = divmod(-1 - label, 2)
        bound = (regions.upper if upper else regions.lower)[axis]
        for facet in of_side:
            # Points between two on a side are convex combinations of equal numbers: two ulps.
            at = regions.vertices[regions.facet_vertices(facet), axis]
            np.testing.assert_allclose(at, bound, rtol=1e-15, atol=1e-15 * sides[axis])


def has_neighbours(regions: Regions) -> None:
    """Patterns are distinct, and neighbours differ in the hyperplane between them at least."""
    assert len(np.unique(regions.patterns, axis=0)) == len(regions)
    inner = (regions.facet_regions >= 0).all(axis=1)
    left, right = regions.facet_regions[inner].T
    assert (left != right).all()
    np.testing.assert_array_equal(regions.adjacency, regions.facet_regions[inner])
    differ = regions.patterns[left] != regions.patterns[right]
    assert differ[np.arange(len(left)), regions.facet_hyperplanes[inner]].all()


def agrees_with(regions: Regions, network: nn.Module, tolerance: float) -> None:
    """Values at vertices, and maps at random points of the regions, are the network's."""
    size = np.abs([regions.lower, regions.upper]).max()
    scale = np.abs(regions.weights).max() * size
    scale = max(scale, np.abs(regions.biases).max(), np.abs(regions.values).max())
    # Room for a few layers' digits; and where these cancel, what enumeration takes for zero.
    weights, biases = regions.network.absolute.affine_maps(regions.patterns)
    allowed = max(tolerance * scale, 1e-12 * (weights.max() * size + biases.max()))
    expected = evaluate(network, regions.vertices)
    np.testing.assert_allclose(regions.values, expected, rtol=0, atol=allowed)
    points = points_inside(regions)
    expected = evaluate(network, points)
    found = np.einsum("rmn,rn->rm", regions.weights, points) + regions.biases
    np.testing.assert_allclose(found, expected, rtol=0, atol=allowed)


def points_inside(regions: Regions, seed: int = 0) -> np.ndarray:
    """A random point in each region: a convex combination of its vertices."""
    rng = np.random.default_rng(seed)
    members = [regions.vertices_of(region) for region in range(len(regions))]
    return np.array([rng.dirichlet(np.ones(len(m))) @ regions.vertices[m] for m in members])


def half_spaces(regions: Regions) -> list[np.ndarray]:
    """Rows (unit normal, offset), negative inside, of each region's hull, as Qhull finds them.

    Qhull knows the vertices alone. None (no rows) for a region that is too flat for it.
    """
    found = []
    for region in range(len(regions)):
        corners = regions.vertices[regions.vertices_of(region)]
        if regions.dim == 1:
            low, high = sorted(corners.ravel())
            assert high - low == pytest.approx(regions.volumes[region], rel=1e-12)
            found.append(np.array([[-1.0, low], [1.0, -high]]))
            continue
        try:
            hull = ConvexHull(corners)
        except QhullError:
            assert regions.volumes[region] < 1e-12 * np.prod(regions.upper - regions.lower)
            found.append(np.zeros((0, regions.dim + 1)))
            continue
        # Qhull merges what is coplanar to 1e-15 or so times the corners' size.
        surface = regions.facet_measures[(regions.facet_regions == region).any(axis=1)].sum()
        size = np.prod(regions.upper - regions.lower)
        assert hull.volume == pytest.approx(regions.volumes[region], rel=1e-9, abs=1e-12 * size)
        assert hull.area == pytest.approx(surface, rel=1e-6, abs=1e-9 * size)
        found.append(hull.equations)
    return found


def depths(spaces: list[np.ndarray], points: np.ndarray) -> np.ndarray:
    """How far inside each region each point lies: [N, R], negative outside."""
    found = np.full((len(points), len(spaces)), -math.inf)
    for region, rows in enumerate(spaces):
        if len(rows):
            found[:, region] = -(points @ rows[:, :-1].T + rows[:, -1]).max(axis=1)
    return found


def closes(regions: Regions) -> None:
    """Each region is bounded by its facets: what its simplices leave over is theirs, modulo 2."""
    cut, facets = regions.triangulation, regions.facet_triangulation
    simplices = np.sort(cut.simplices, axis=1)
    rows = [
        np.column_stack([cut.owners, np.delete(simplices, corner, axis=1)])
        for corner in range(regions.dim + 1)
    ]
    rows += [
        np.column_stack([side[facets.owners], np.sort(facets.simplices, axis=1)])
        for side in regions.facet_regions.T
    ]
    faces = np.concatenate(rows)
    _, counts = np.unique(faces[faces[:, 0] >= 0], axis=0, return_counts=True)
    assert (counts % 2 == 0).all()


def conforms(regions: Regions) -> Counter[tuple[int, ...]]:
    """Simplices meet face to face, and nothing is missing or there twice: no tolerance needed.

    Returns the simplices' faces, each with the number of simplices that it belongs to.
    """
    simplices = np.sort(regions.triangulation.simplices, axis=1)
    corners = range(simplices.shape[1])
    faces = np.concatenate([np.delete(simplices, corner, axis=1) for corner in corners])
    found = Counter(map(tuple, faces.tolist()))
    assert max(found.values()) <= 2
    # A face of one simplex alone lies in a side of the box, all others between two.
    at = regions.vertices[[face for face, count in found.items() if count == 1]]
    near = 1e-14 * (regions.upper - regions.lower)  # combinations of equal numbers
    on_lower = (np.abs(at - regions.lower) <= near).all(axis=1)
    on_upper = (np.abs(at - regions.upper) <= near).all(axis=1)
    assert (on_lower | on_upper).any(axis=1).all()
    return found
