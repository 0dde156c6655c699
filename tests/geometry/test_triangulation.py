"""Simplices that fill regions and meet face to face."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import ConvexHull, QhullError

from bandlimiter.geometry import enumerate_regions, triangulate
from tests.geometry.checks import closes, conforms, half_spaces
from tests.geometry.networks import every_kind, hyperplanes, networks, perceptron, small_integers

pytestmark = pytest.mark.filterwarnings("error")
some = settings(max_examples=20, deadline=None)
DIMS = [1, 2, 3, 4]


def check(regions) -> None:
    """Everything that can be said without a tolerance, and volumes."""
    cut = triangulate(regions)
    dim = regions.dim
    assert cut.simplices.shape == (len(cut.owners), dim + 1)
    assert (np.unique(cut.owners) == np.arange(len(regions))).all()
    for region in range(len(regions)):
        corners = cut.simplices[cut.owners == region]
        np.testing.assert_array_equal(np.unique(corners), np.sort(regions.vertices_of(region)))
        assert (corners.min(axis=1) == corners.min()).all()  # the vertex of the lowest number
    conforms(regions)
    closes(regions)
    edges = regions.vertices[cut.simplices[:, 1:]] - regions.vertices[cut.simplices[:, :1]]
    # Determinants of numbers of order one.
    np.testing.assert_allclose(cut.jacobians, np.abs(np.linalg.det(edges)), atol=1e-14)
    np.testing.assert_allclose(cut.measures, cut.jacobians / math.factorial(dim), rtol=1e-15)
    assert cut.measures.sum() == pytest.approx((regions.upper - regions.lower).prod(), rel=1e-10)
    np.testing.assert_allclose(
        np.bincount(cut.owners, cut.measures, minlength=len(regions)), regions.volumes, rtol=1e-12
    )


@pytest.mark.parametrize("dim", DIMS)
@some
@given(data=st.data())
def test_simplices_meet_face_to_face(dim, data):
    network = data.draw(networks(dim))
    check(enumerate_regions(network, -np.ones(dim), np.linspace(0.8, 1.5, dim)))


@pytest.mark.parametrize("dim", DIMS)
@some
@given(seed=st.integers(0, 2**32 - 1))
def test_simplices_of_degenerate_arrangements(dim, seed):
    network = small_integers(perceptron(dim, 4, 4, 2), seed)
    check(enumerate_regions(network, -1, 1))


@pytest.mark.parametrize("dim", [2, 3, 4])
def test_volumes_are_those_of_convex_hulls(dim):
    regions = enumerate_regions(every_kind(dim, 3), -1, 1)
    assert len(regions) > 50
    for region, volume in enumerate(regions.volumes):
        corners = regions.vertices[regions.vertices_of(region)]
        try:
            expected = ConvexHull(corners).volume
        except QhullError:  # flat
            expected = 0.0
        # Qhull is good to about 1e-13 in a box of volume 2^n.
        assert volume == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("dim", DIMS)
def test_facets_are_cut_into_the_faces_of_the_simplices(dim):
    regions = enumerate_regions(perceptron(dim, 5, 4, 2, activation="hardtanh", seed=4), -1, 1)
    half_spaces(regions)  # the regions' surfaces against Qhull's
    facets = regions.facet_triangulation
    assert facets.simplices.shape[1] == dim
    faces = conforms(regions)
    found = [tuple(sorted(simplex)) for simplex in facets.simplices.tolist()]
    assert len(found) == len(set(found))
    assert set(found) <= set(faces)
    # One and all: those inside a region are the rest, of which no facet has all corners.
    owners = {tuple(sorted(s)): o for s, o in zip(found, facets.owners.tolist(), strict=True)}
    for face, owner in owners.items():
        assert set(face) <= set(regions.facet_vertices(owner).tolist())
        inner = regions.facet_hyperplanes[owner] >= 0
        assert faces[face] == (2 if inner else 1)
    np.testing.assert_allclose(
        np.bincount(facets.owners, facets.measures, minlength=regions.face_counts[-2]),
        regions.facet_measures,
        rtol=1e-13,
    )


def test_measures_of_slanted_facets_in_closed_form():
    """x + y + z = 0 meets [-1, 1]^3 in a regular hexagon of side sqrt(2)."""
    regions = enumerate_regions(hyperplanes([[1.0, 1.0, 1.0]], [0.0]), -1, 1)
    (cut,) = np.flatnonzero(regions.facet_hyperplanes == 0)
    assert regions.facet_measures[cut] == pytest.approx(3 * math.sqrt(3), rel=1e-14)
    assert len(regions.facet_vertices(cut)) == 6
    # x + y + z + w = 0 meets [-1, 1]^4 in an octahedron of edges 2 sqrt(2).
    regions = enumerate_regions(hyperplanes([[1.0] * 4], [0.0]), -1, 1)
    (cut,) = np.flatnonzero(regions.facet_hyperplanes == 0)
    octahedron = math.sqrt(2) / 3 * math.sqrt(8) ** 3
    assert regions.facet_measures[cut] == pytest.approx(octahedron, rel=1e-14)


@pytest.mark.parametrize("dim", [2, 3, 4])
def test_measures_of_uneven_facets(dim):
    """A facet's measure scales with its box, however unevenly: digits do not cancel."""
    network = perceptron(dim, 5, 2, seed=1)
    even = enumerate_regions(network, -1, 1)
    stretch = 10.0 ** np.linspace(-5, 5, dim)
    with_stretch = hyperplanes(
        network[0].weight.detach().numpy() / stretch, -network[0].bias.detach().numpy()
    )
    uneven = enumerate_regions(with_stretch, -stretch, stretch)
    assert uneven.face_counts == even.face_counts
    for axis in range(dim):
        side = np.flatnonzero(even.facet_hyperplanes == -1 - 2 * axis)
        # Corners on edges that are nearly parallel to a hyperplane are good to 1e-12 or so.
        np.testing.assert_allclose(
            uneven.facet_measures[side] / np.delete(stretch, axis).prod(),
            even.facet_measures[side],
            rtol=1e-10,
            atol=1e-10,
        )
