"""Theorem 2.5: an unbiased network is a sum of linear functions on infinite simplices."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bandlimiter.errors import ConfigurationError, InputError
from bandlimiter.geometry import cone_decomposition, enumerate_regions, read_network
from tests.geometry.checks import refuses
from tests.geometry.networks import evaluate, hyperplanes, linear, networks, perceptron

pytestmark = pytest.mark.filterwarnings("error")
some = settings(max_examples=25, deadline=None)
DIMS = [1, 2, 3, 4]
BOXES = [(0, 1), (-1, 2)]


def jacobians(cones) -> np.ndarray:
    """n! times the volume of each simplex 0, v_1, ..., v_n."""
    return np.abs(np.linalg.det(cones.rays))


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize(("low", "high"), BOXES)
@some
@given(data=st.data())
def test_cones_fill_the_box_and_carry_the_network(dim, low, high, data):
    network = data.draw(networks(dim, bias=False))
    cones = cone_decomposition(network, low, high)
    assert cones.rays.shape == (len(cones), dim, dim)
    assert cones.weights.shape == (len(cones), 2, dim)
    volume = jacobians(cones).sum() / math.factorial(dim)
    assert volume == pytest.approx((high - low) ** dim, rel=1e-10)
    # The rays end on the box's far sides: the largest coordinate, by its side, is one.
    assert (cones.rays <= high + 1e-14).all()
    assert (cones.rays >= low - 1e-14).all()
    reach = np.abs(cones.rays / np.where(cones.rays > 0, high, low if low else np.inf))
    np.testing.assert_allclose(reach.max(axis=2), 1, atol=1e-14)
    rng = np.random.default_rng(0)
    inside = np.einsum("qj,qjn->qn", rng.dirichlet(np.ones(dim), len(cones)), cones.rays)
    for factor in (1e-6, 1.0, 50.0, 1e6):  # a cone goes on for ever
        expected = evaluate(network, factor * inside)
        found = np.einsum("qmn,qn->qm", cones.weights, factor * inside)
        # Sums of a dozen terms of this size.
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * factor * size(cones))
    np.testing.assert_allclose(
        cones.values,
        evaluate(network, cones.rays.reshape(-1, dim)).reshape(len(cones), dim, 2),
        rtol=0,
        atol=1e-12 * size(cones),
    )


def size(cones) -> float:
    return np.abs(cones.weights).max() + 1


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize(("low", "high"), BOXES)
def test_each_point_lies_in_exactly_one_cone(dim, low, high):
    network = perceptron(dim, 6, 5, 2, bias=False, seed=dim)
    cones = cone_decomposition(network, low, high)
    points = np.random.default_rng(1).uniform(low, high, size=(300, dim))
    flat = jacobians(cones) < 1e-13
    rays = cones.rays[~flat]
    # x = sum_j c_j v_j with all c_j > 0; and sum c_j <= 1 as the point is in the box.
    coefficients = np.linalg.solve(
        np.broadcast_to(rays.swapaxes(1, 2)[:, None], (len(rays), 300, dim, dim)),
        np.broadcast_to(points[None, :, :, None], (len(rays), 300, dim, 1)),
    )[..., 0]
    least = coefficients.min(axis=2)
    # A point is this close to a border with probability 1e-7.
    assert ((least > 1e-9).sum(axis=0) == 1).all()
    chosen = least.argmax(axis=0)
    assert (coefficients[chosen, np.arange(300)].sum(axis=1) <= 1 + 1e-12).all()
    found = np.einsum("qmn,qn->qm", cones.weights[~flat][chosen], points)
    np.testing.assert_allclose(found, evaluate(network, points), rtol=0, atol=1e-13 * size(cones))


@pytest.mark.parametrize("dim", DIMS)
def test_cuts_of_the_theorem_where_the_network_has_none(dim):
    """For a linear function the far sides are cut into simplices, and nothing else."""
    network = linear(np.arange(1.0, dim + 1)[None])
    cones = cone_decomposition(network, 0, 1)
    # n far sides, each a cube of n - 1 dimensions in (n - 1)! simplices.
    assert len(cones) == math.factorial(dim)
    np.testing.assert_array_equal(cones.weights, np.broadcast_to(network.weight.detach(), (
        len(cones), 1, dim)))  # fmt: skip
    np.testing.assert_allclose(jacobians(cones), 1, atol=1e-15)
    # In each, one coordinate is the largest: no cone crosses x_i = x_j for that i.
    for rays in cones.rays:
        assert (rays == rays.max(axis=1, keepdims=True)).all(axis=0).any()
    assert len(cone_decomposition(network, -1, 1)) == 2 * math.factorial(dim)


@pytest.mark.parametrize("dim", DIMS)
def test_maps_are_those_of_the_regions(dim):
    network = perceptron(dim, 5, 4, 1, bias=False, seed=7)
    cones = cone_decomposition(network, -1, 1)
    regions = enumerate_regions(network, -1, 1)
    middles = cones.rays.mean(axis=1) / 2
    solid = jacobians(cones) > 1e-10
    owners = regions.locate(middles[solid])
    assert (owners >= 0).all()
    assert set(owners.tolist()) == set(range(len(regions)))
    np.testing.assert_allclose(cones.weights[solid], regions.weights[owners], atol=1e-13)
    volumes = np.bincount(owners, jacobians(cones)[solid]) / math.factorial(dim)
    np.testing.assert_allclose(volumes, regions.volumes, atol=1e-9)


def test_the_absolute_value_in_closed_form():
    network = nn.Sequential(linear([[1.0]]), nn.LeakyReLU(-1.0), linear([[3.0]]))
    cones = cone_decomposition(network, -2, 5)
    order = np.argsort(cones.rays[:, 0, 0])
    assert cones.rays[order].tolist() == [[[-2.0]], [[5.0]]]
    assert cones.weights[order].tolist() == [[[-3.0]], [[3.0]]]
    assert cones.values[order].tolist() == [[[6.0]], [[15.0]]]


def test_boxes_with_the_origin_on_a_side():
    network = perceptron(3, 6, 2, bias=False, seed=1)
    cones = cone_decomposition(network, [-1, 0, -2], [1, 3, 0])
    assert jacobians(cones).sum() / 6 == pytest.approx(2 * 3 * 2, rel=1e-12)


def test_what_has_biases_is_refused():
    with refuses(ConfigurationError, "without biases", "enumerate_regions"):
        cone_decomposition(perceptron(2, 3, 1), -1, 1)
    with refuses(ConfigurationError, "without biases"):
        cone_decomposition(hyperplanes([[1.0, 0.0]], [0.5]), -1, 1)
    # Biases of zero are none; nor does what a batch norm shifts come from a bias.
    cone_decomposition(hyperplanes([[1.0, 0.0]], [0.0]), -1, 1)
    norm = nn.BatchNorm1d(2).eval()
    cone_decomposition(nn.Sequential(nn.Linear(2, 2, bias=False), norm), -1, 1)
    norm.running_mean += 1
    with refuses(ConfigurationError, "without biases"):
        cone_decomposition(nn.Sequential(nn.Linear(2, 2, bias=False), norm), -1, 1)


@pytest.mark.parametrize("layer", [nn.Hardtanh(), nn.ReLU6()])
def test_what_is_not_homogeneous_is_refused(layer):
    network = nn.Sequential(nn.Linear(2, 2, bias=False), layer)
    with refuses(ConfigurationError, "one threshold at zero", "thresholds [", "in layer 1"):
        cone_decomposition(network, -1, 1)


def test_boxes_that_do_not_serve():
    network = perceptron(2, 3, 1, bias=False)
    with refuses(InputError, "contains the origin", "[0.1, 0.1] to [1.0, 1.0]"):
        cone_decomposition(network, 0.1, 1)
    with refuses(InputError, "contains the origin"):
        cone_decomposition(network, [-1, -1], [1, -0.5])
    with refuses(InputError, "lower < upper"):
        cone_decomposition(network, 0, 0)
    with refuses(InputError, "lower with 2 numbers"):
        cone_decomposition(network, [-1] * 3, 1)
    with refuses(InputError, "1 to 4 inputs", "got 5"):
        cone_decomposition(perceptron(5, 3, 1, bias=False), -1, 1)
    assert read_network(network).dim == 2
