"""Activation regions joined where the function does not bend."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bandlimiter.geometry import enumerate_regions, maximal_regions
from tests.geometry.checks import is_sound, points_inside
from tests.geometry.networks import (
    Difference,
    evaluate,
    hyperplanes,
    linear,
    networks,
    one_function_twice,
    perceptron,
)

pytestmark = pytest.mark.filterwarnings("error")
DIMS = [1, 2, 3, 4]


def shallow(normals, offsets, outgoing) -> nn.Sequential:
    normals = np.asarray(normals, dtype=float)
    hidden = linear(normals, -np.asarray(offsets, dtype=float))
    return nn.Sequential(hidden, nn.ReLU(), linear([outgoing], 0.5))


def joined(network: nn.Module, lower=-1, upper=1) -> tuple[int, int]:
    """How many activation regions there are, and how many maximal ones."""
    regions = enumerate_regions(network, lower, upper)
    is_sound(regions, network)
    maximal = maximal_regions(regions)
    assert maximal.members.shape == (len(regions),)
    assert (np.unique(maximal.members) == np.arange(len(maximal))).all()
    np.testing.assert_allclose(
        maximal.volumes, np.bincount(maximal.members, regions.volumes), rtol=1e-13
    )
    return len(regions), len(maximal)


@pytest.mark.parametrize("dim", DIMS)
def test_a_unit_that_nothing_uses(dim):
    normals = np.vstack([np.eye(dim), np.ones(dim)])
    offsets = np.append(np.zeros(dim), 0.25)
    network = shallow(normals, offsets, [*range(1, dim + 1), 0.0])
    count, maximal = joined(network)
    assert maximal == 2**dim
    assert count > maximal


@pytest.mark.parametrize("dim", DIMS)
def test_equal_units_of_opposite_outgoing_weights(dim):
    """2 relu(g) - relu(2 g) = 0, although each unit bends."""
    normal = np.linspace(1, 2, dim)
    other = np.zeros(dim)
    other[0] = 1.0
    network = shallow([normal, 2 * normal, other], [0.1, 0.2, -0.5], [2.0, -1.0, 1.0])
    count, maximal = joined(network)
    assert maximal == 2
    assert count == (3 if dim == 1 else 4)


@pytest.mark.parametrize("dim", DIMS)
def test_a_unit_and_its_negative(dim):
    """relu(g) - relu(-g) = g bends nowhere; relu(g) + relu(-g) = |g| does."""
    normal = np.linspace(1, 2, dim)
    assert joined(shallow([normal, -normal], [0.1, -0.1], [1.0, -1.0])) == (2, 1)
    assert joined(shallow([normal, -normal], [0.1, -0.1], [1.0, 1.0])) == (2, 2)


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("seed", range(3))
def test_functions_that_cancel_but_for_rounding(dim, seed):
    """f - f is zero, its second half summed in another order; f - f + |x_1| bends once."""
    nothing = one_function_twice(seed, dim, {1: 20, 2: 8, 3: 5, 4: 3}[dim])
    count, maximal = joined(nothing)
    assert count > 1
    assert maximal == 1
    last = np.zeros((2, dim))
    last[:, 0] = 1
    bend = nn.Sequential(linear(np.eye(dim)), nn.LeakyReLU(-1.0), linear(-last))
    assert joined(Difference(nothing, bend))[1] == 2


def smaller_of_two(*signs: float) -> nn.Sequential:
    """Sums of min(relu(s x), relu(s y)) = relu(s x) - relu(relu(s x) - relu(s y))."""
    count = len(signs)
    enter = np.concatenate([s * np.eye(2) for s in signs])
    hidden = np.zeros((2 * count, 2 * count))
    for i in range(count):
        hidden[2 * i, 2 * i] = 1  # relu(s x), once more
        hidden[2 * i + 1, [2 * i, 2 * i + 1]] = 1, -1
    last = np.tile([1.0, -1.0], count)[None]
    return nn.Sequential(linear(enter), nn.ReLU(), linear(hidden), nn.ReLU(), linear(last))


def test_maximal_regions_need_not_be_convex():
    """min(relu(x), relu(y)) vanishes on three quadrants: one region of the shape of an L."""
    network = smaller_of_two(1.0)
    assert joined(network) == (5, 3)
    maximal = maximal_regions(enumerate_regions(network, -1, 1))
    np.testing.assert_allclose(np.sort(maximal.volumes), [0.5, 0.5, 3.0], rtol=1e-14)


def test_regions_that_touch_in_a_point_stay_apart():
    """With the opposite quadrant's as well: the quadrants where it vanishes meet at 0 only."""
    network = smaller_of_two(1.0, -1.0)
    maximal = maximal_regions(enumerate_regions(network, -1, 1))
    np.testing.assert_allclose(np.sort(maximal.volumes), [0.5] * 4 + [1.0] * 2, rtol=1e-14)


def test_equal_maps_that_do_not_touch_stay_apart():
    """relu(x - 1/2) + relu(-x - 1/2) is flat in the middle; |x| - 1/2, cut at 0, is not."""
    network = shallow([[1.0], [-1.0]], [0.5, 0.5], [1.0, 1.0])
    assert joined(network) == (3, 3)
    # A zigzag: slopes 1, -1, 1, -1, and equal maps on none of the neighbours.
    network = shallow([[1.0]] * 4, [-1.0, -0.5, 0.0, 0.5], [1.0, -2.0, 2.0, -2.0])
    assert joined(network) == (4, 4)


def test_a_steep_place_elsewhere_hides_no_bend():
    """A slope of 1e11 right of 1/2 is no reason to overlook one of 1 at -1/2."""
    assert joined(shallow([[1.0], [1.0]], [-0.5, 0.5], [1.0, 1e11])) == (3, 3)


@pytest.mark.parametrize("dim", DIMS)
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_joined_regions_have_equal_maps_and_others_do_not(dim, data):
    network = data.draw(networks(dim))
    regions = enumerate_regions(network, -1, 1)
    maximal = maximal_regions(regions)
    joined(network)
    maps = np.concatenate([regions.weights, regions.biases[:, :, None]], axis=2)
    scale = np.abs(maps).max()
    same = maximal.members
    for label in range(len(maximal)):
        group = maps[same == label]
        # A chain of neighbours that are each equal to 1e-9.
        assert np.abs(group - group[0]).max() <= 1e-9 * scale * len(group)
    left, right = regions.adjacency.T
    distinct = same[left] != same[right]
    change = np.abs(maps[left] - maps[right]).max(axis=(1, 2))
    largest = np.abs(maps).max(axis=(1, 2))
    local = np.maximum(largest[left], largest[right])
    assert (change[distinct] > 1e-9 * local[distinct]).all()
    assert (change[~distinct] <= 1e-9 * scale * len(regions)).all()
    # Equal neighbours, and all of them, are joined.
    assert (same[left] == same[right])[change <= 1e-10 * local].all()


@pytest.mark.parametrize("dim", DIMS)
def test_the_network_is_affine_across_joined_regions(dim):
    """By the network itself: the map of one member serves all others."""
    network = perceptron(dim, 6, 4, 2, seed=5)  # where the second layer is dead, all is one
    regions = enumerate_regions(network, -1, 1)
    maximal = maximal_regions(regions)
    assert len(maximal) < len(regions)
    first = np.array([np.flatnonzero(maximal.members == m)[0] for m in range(len(maximal))])
    chosen = first[maximal.members]
    points = points_inside(regions)
    found = np.einsum("rmn,rn->rm", regions.weights[chosen], points) + regions.biases[chosen]
    np.testing.assert_allclose(found, evaluate(network, points), atol=1e-8)


def test_a_network_that_bends_nowhere_is_one_region():
    network = hyperplanes([[1.0, 0.3], [0.2, -1.0]], [0.1, 0.2])
    network[2] = linear(np.zeros((1, 2)), 3.0)
    assert joined(network) == (4, 1)
    assert joined(linear([[1.0, 2.0]])) == (1, 1)
