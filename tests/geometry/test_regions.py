"""Regions of networks in general position: invariants, and geometry found another way."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bandlimiter.errors import ConfigurationError, InputError
from bandlimiter.geometry import enumerate_regions, read_network
from tests.geometry.checks import depths, half_spaces, is_sound, points_inside, refuses
from tests.geometry.networks import every_kind, linear, networks, perceptron

pytestmark = pytest.mark.filterwarnings("error")
some = settings(max_examples=25, deadline=None)
DIMS = [1, 2, 3, 4]


def box(dim: int) -> tuple[np.ndarray, np.ndarray]:
    """No cube, and the origin is not its centre."""
    return -np.linspace(1.0, 1.3, dim), np.linspace(0.8, 1.5, dim)


@pytest.mark.parametrize("dim", DIMS)
@some
@given(data=st.data())
def test_invariants(dim, data):
    network = data.draw(networks(dim))
    is_sound(enumerate_regions(network, *box(dim)), network)


@pytest.mark.parametrize("dim", DIMS)
def test_every_kind_of_layer_at_once(dim):
    crossed = set()
    for seed in range(4):
        network = every_kind(dim, seed)
        regions = enumerate_regions(network, *box(dim))
        is_sound(regions, network)
        labels = np.unique(regions.facet_hyperplanes)
        crossed |= {regions.layer_of(label).name for label in labels if label >= 0}
    # Each layer bends one of the networks in the box, or this would tell little.
    assert crossed == {layer.name for layer in read_network(network).layers}


@pytest.mark.parametrize("dim", DIMS)
@some
@given(data=st.data())
def test_each_point_lies_in_exactly_one_region(dim, data):
    network = data.draw(networks(dim))
    lower, upper = box(dim)
    regions = enumerate_regions(network, lower, upper)
    points = np.random.default_rng(0).uniform(lower, upper, size=(100, dim))
    depth = depths(half_spaces(regions), points)
    # Qhull's planes are good to about 1e-12 where facets are not tiny; a point that is
    # closer to a border has probability 1e-8.
    inside = depth > 1e-9
    clear = inside.any(axis=1)
    assert clear.mean() > 0.98
    assert (inside.sum(axis=1) <= 1).all()
    assert (depth.max(axis=1) > -1e-9).all()
    np.testing.assert_array_equal(regions.locate(points[clear]), depth.argmax(axis=1)[clear])
    np.testing.assert_array_equal(
        regions.patterns[depth.argmax(axis=1)[clear]],
        read_network(network).patterns(points[clear]),
    )


@pytest.mark.parametrize("dim", DIMS)
@some
@given(data=st.data())
def test_patterns_are_those_of_interior_points(dim, data):
    network = data.draw(networks(dim))
    regions = enumerate_regions(network, *box(dim))
    points = points_inside(regions)
    depth = depths(half_spaces(regions), points)
    # Nearer to a border than this, rounding may tell a unit's side otherwise.
    clear = np.diagonal(depth) > 1e-9
    assert regions.volumes[~clear].sum() < 1e-6 * regions.volumes.sum()
    patterns = read_network(network).patterns(points)
    np.testing.assert_array_equal(patterns[clear], regions.patterns[clear])
    np.testing.assert_array_equal(regions.locate(points[clear]), np.flatnonzero(clear))


def test_hyperplanes_of_facets_are_where_units_switch():
    """On a facet the unit that it is named after is at its threshold."""
    network = perceptron(3, 5, 4, 2, activation="hardtanh", seed=3)
    regions = enumerate_regions(network, -1, 1)
    inner = np.flatnonzero(regions.facet_hyperplanes >= 0)
    first = torch.from_numpy(regions.vertices).requires_grad_(False)
    with torch.no_grad():
        before = {"1": network[0](first).numpy(), "3": network[:3](first).numpy()}
    bits = {"1": 0, "3": 10}
    for facet in inner:
        hyperplane = regions.facet_hyperplanes[facet]
        layer = regions.layer_of(hyperplane).name
        unit, which = divmod(hyperplane - bits[layer], 2)
        at = before[layer][regions.facet_vertices(facet), unit]
        # Vertices are convex combinations: a few ulps of numbers of order one.
        np.testing.assert_allclose(at, (-0.7, 0.9)[which], atol=1e-12)
    assert {regions.layer_of(h).name for h in regions.facet_hyperplanes[inner]} == {"1", "3"}


def test_vertices_go_around_a_polygon():
    regions = enumerate_regions(perceptron(2, 8, 8, 1, seed=1), -1, 1)
    for region, volume in enumerate(regions.volumes):
        x, y = regions.vertices[regions.vertices_of(region)].T
        shoelace = (x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2
        assert shoelace == pytest.approx(volume, abs=1e-14)  # terms of order one


def test_regions_of_a_line_by_its_breakpoints():
    """n = 1, one layer: breakpoints are -b / w, and nothing else."""
    network = perceptron(1, 9, 1, seed=2)
    breakpoints = (-network[0].bias / network[0].weight[:, 0]).detach().numpy()
    inside = np.sort(breakpoints[np.abs(breakpoints) < 1])
    assert len(inside) >= 4
    regions = enumerate_regions(network, -1, 1)
    np.testing.assert_allclose(
        np.sort(regions.vertices[:, 0]), np.concatenate([[-1], inside, [1]]), atol=1e-15
    )
    assert regions.face_counts == (len(inside) + 2, len(inside) + 1)
    np.testing.assert_array_equal(regions.facet_measures, 1)


def test_one_hyperplane_of_the_square_in_closed_form():
    """x + 2 y = 1/2 cuts [0, 1]^2 into areas 1/16 and 15/16."""
    network = nn.Sequential(linear([[1.0, 2.0]], -0.5), nn.ReLU(), linear([[3.0]], 1.0))
    regions = enumerate_regions(network, 0, 1)
    above = regions.patterns[:, 0]
    assert above.tolist() in ([True, False], [False, True])
    np.testing.assert_allclose(regions.volumes[above], 15 / 16, atol=1e-15)
    np.testing.assert_allclose(regions.weights[above], [[[3.0, 6.0]]], atol=1e-15)
    np.testing.assert_allclose(regions.biases[above], [[-0.5]], atol=1e-15)
    np.testing.assert_array_equal(regions.weights[~above], 0)
    np.testing.assert_array_equal(regions.biases[~above], 1)
    assert regions.face_counts == (6, 7, 2)
    (cut,) = np.flatnonzero(regions.facet_hyperplanes == 0)
    assert regions.facet_measures[cut] == pytest.approx(np.hypot(0.5, 0.25), abs=1e-15)


@pytest.mark.parametrize("dim", DIMS)
def test_a_network_without_units_has_one_region(dim):
    network = linear(np.arange(2.0 * dim).reshape(2, dim) + 1, 3.0)
    regions = enumerate_regions(network, -1, 2)
    assert len(regions) == 1
    assert regions.patterns.shape == (1, 0)
    is_sound(regions, network)
    np.testing.assert_array_equal(regions.locate(np.zeros((2, dim))), 0)
    assert len(enumerate_regions(nn.Identity(), [-1] * dim, 1)) == 1


def test_more_regions_than_there_is_room_for_at_first():
    """Some 6,000 regions: arrays have grown and been packed on the way."""
    network = perceptron(2, 64, 64, 64, 2, seed=1)
    regions = enumerate_regions(network, -1, 1)
    assert len(regions) > 5000
    is_sound(regions, network)


def test_points_that_are_in_no_region():
    regions = enumerate_regions(perceptron(2, 4, 2), -1, 1)
    np.testing.assert_array_equal(regions.locate([[1.1, 0.0], [0.0, -1.1]]), -1)
    assert (regions.locate([[1.0, 1.0], [-1.0, 0.3]]) >= 0).all()  # the box is closed


def test_numbers_stand_for_all_axes():
    network = perceptron(3, 5, 2)
    regions = enumerate_regions(network, -1, [1, 2, 3])
    np.testing.assert_array_equal(regions.lower, [-1, -1, -1])
    np.testing.assert_array_equal(regions.upper, [1, 2, 3])
    assert regions.volumes.sum() == pytest.approx(24, rel=1e-12)


def test_boxes_and_points_as_tensors():
    network = perceptron(2, 6, 2)
    expected = enumerate_regions(network, -1, [1, 2])
    lower = -torch.ones(2, requires_grad=True)
    regions = enumerate_regions(network, lower, torch.tensor([1, 2]))
    np.testing.assert_array_equal(regions.vertices, expected.vertices)
    points = torch.rand(5, 2)
    np.testing.assert_array_equal(regions.locate(points), expected.locate(points.tolist()))
    with refuses(InputError, "lower", "real numbers"):
        enumerate_regions(network, "low", 1)


def test_the_limit():
    network = perceptron(2, 8, 8, 2)
    count = len(enumerate_regions(network, -1, 1))
    assert len(enumerate_regions(network, -1, 1, limit=count)) == count
    with refuses(ConfigurationError, f"at most {count - 1} regions", "layer 3"):
        enumerate_regions(network, -1, 1, limit=count - 1)
    with refuses(ConfigurationError, "at most 2 regions", "layer 1"):
        enumerate_regions(network, -1, 1, limit=2)


@pytest.mark.parametrize(
    ("lower", "upper", "words"),
    [
        (-1, 0.0, None),
        (0, 0, ("lower < upper", "[0.0, 0.0]")),
        (1, -1, ("lower < upper", "[-1.0, -1.0]")),
        ([0, 1], [1, 1], ("lower < upper", "[0.0, 1.0]")),
        (-np.inf, 1, ("bounded", "lower = -inf")),
        (-1, [1, np.inf], ("bounded", "upper = [1.0, inf]")),
        (np.nan, 1, ("bounded", "lower = nan")),
        ([-1] * 3, 1, ("lower with 2 numbers", "(3,)")),
        (-1, [1], ("upper with 2 numbers", "(1,)")),
        ([[-1, -1]], 1, ("lower with 2 numbers", "(1, 2)")),
    ],
)
def test_boxes_that_are_none(lower, upper, words):
    network = perceptron(2, 3, 1)
    if words is None:
        assert len(enumerate_regions(network, lower, upper)) >= 1
        return
    with refuses(InputError, *words):
        enumerate_regions(network, lower, upper)


def test_too_many_dimensions_or_none():
    with refuses(InputError, "1 to 4 inputs", "got 5"):
        enumerate_regions(perceptron(5, 3, 1), -1, 1)
    with refuses(InputError, "1 to 4 inputs", "got 0"):
        enumerate_regions(nn.Identity(), [], [])
    with refuses(ConfigurationError, "Linear layer"):
        enumerate_regions(nn.Identity(), -1, 1)
