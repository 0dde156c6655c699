"""Arrangements in which hyperplanes coincide or meet in too few points, counted by hand."""

import copy
import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bandlimiter.errors import ConfigurationError
from bandlimiter.geometry import enumerate_regions, max_regions
from bandlimiter.geometry.cells import CellComplex
from tests.geometry.checks import agrees_with, closes, euler, has_neighbours, is_sound, refuses
from tests.geometry.networks import (
    hyperplanes,
    linear,
    networks,
    perceptron,
    small_integers,
    stack,
)

pytestmark = pytest.mark.filterwarnings("error")
some = settings(max_examples=40, deadline=None)
DIMS = [1, 2, 3, 4]


def count(normals, offsets, lower=-1, upper=1) -> int:
    """Regions of an arrangement, after all that must be true of them."""
    normals = np.atleast_2d(np.asarray(normals, dtype=float))
    network = hyperplanes(normals, np.broadcast_to(offsets, len(normals)))
    dim = normals.shape[1]
    regions = enumerate_regions(network, np.broadcast_to(lower, dim), np.broadcast_to(upper, dim))
    is_sound(regions, network)
    return len(regions)


def axes(dim: int) -> np.ndarray:
    return np.eye(dim)


def differences(dim: int, sign: int = -1) -> np.ndarray:
    """All e_i - e_j, or e_i + e_j, i < j."""
    return np.array([axes(dim)[i] + sign * axes(dim)[j] for i, j in pairs(dim)])


def pairs(dim: int) -> list[tuple[int, int]]:
    return list(itertools.combinations(range(dim), 2))


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("units", [1, 2, 5, 9])
def test_one_unbiased_layer_in_general_position(dim, units):
    normals = np.random.default_rng([dim, units]).normal(size=(units, dim))
    expected = max_regions(units, dim, central=True)
    assert count(normals, 0) == expected
    # The origin need not be the box's centre; as a corner it sees one orthant alone.
    assert count(normals, 0, lower=-0.3, upper=2) == expected


@pytest.mark.parametrize("dim", DIMS)
@some
@given(data=st.data())
def test_unbiased_networks(dim, data):
    network = data.draw(networks(dim, bias=False))
    regions = enumerate_regions(network, -1, 1)
    is_sound(regions, network)
    np.testing.assert_allclose(regions.biases, 0, atol=1e-13)


@pytest.mark.parametrize("dim", DIMS)
def test_the_origin_in_a_corner_of_the_box(dim):
    network = perceptron(dim, 6, 4, 2, bias=False, seed=dim)
    is_sound(enumerate_regions(network, 0, 1), network)
    is_sound(enumerate_regions(network, -1, 0), network)


@pytest.mark.parametrize("dim", DIMS)
def test_a_grid(dim):
    """x_i = k / 4: 8^n cubes, and faces of dimension k as many as a cubic complex has."""
    steps = np.arange(-3, 4) / 4
    normals = np.repeat(axes(dim), len(steps), axis=0)
    network = hyperplanes(normals, np.tile(steps, dim))
    regions = enumerate_regions(network, -1, 1)
    is_sound(regions, network)
    np.testing.assert_allclose(regions.volumes, 0.25**dim, rtol=1e-12)
    assert regions.face_counts == tuple(
        math.comb(dim, k) * 8**k * 9 ** (dim - k) for k in range(dim + 1)
    )


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_a_grid_out_of_several_layers(dim):
    """Folding each axis twice: |x|, then | |x| - 1/2 |, then a ReLU at 1/4."""

    def fold(offset):
        return [linear(axes(dim), -offset), nn.LeakyReLU(-1.0)]

    last = [linear(axes(dim), -0.25), nn.ReLU(), linear(np.ones((1, dim)))]
    network = nn.Sequential(*fold(0.0), *fold(0.5), *last)
    regions = enumerate_regions(network, -1, 1)
    is_sound(regions, network)
    assert len(regions) == 8**dim


@pytest.mark.parametrize(("dim", "most"), [(1, 1), (2, 2), (3, 6), (4, 24)])
def test_arrangements_of_reflection_groups(dim, most):
    """x_i = x_j: a region for each order. With x_i = -x_j and x_i = 0, for each signed one."""
    if dim > 1:
        assert count(differences(dim), 0) == most
        signed = np.concatenate([differences(dim), differences(dim, +1)])
        assert count(signed, 0) == 2 ** (dim - 1) * most
        assert count(np.concatenate([signed, axes(dim)]), 0) == 2**dim * most
    assert count(axes(dim), 0) == 2**dim


@pytest.mark.parametrize(("dim", "catalan"), [(2, 2), (3, 5), (4, 14)])
def test_arrangements_of_parallel_diagonals(dim, catalan):
    """Shi's x_i - x_j = 0, 1 has (n + 1)^(n - 1) regions, Catalan's -1, 0, 1 has n! C_n.

    Each has points in a box whose sides are longer than n: see Stanley, "An introduction
    to hyperplane arrangements", 5.
    """
    normals = differences(dim)
    shi = count(np.tile(normals, (2, 1)), np.repeat([0, 1], len(normals)), -4, 4)
    assert shi == (dim + 1) ** (dim - 1)
    whole = count(np.tile(normals, (3, 1)), np.repeat([-1, 0, 1], len(normals)), -4, 4)
    assert whole == math.factorial(dim) * catalan


@pytest.mark.parametrize("dim", DIMS)
def test_parallel_hyperplanes(dim):
    normal = np.random.default_rng(dim).uniform(0.5, 1, size=dim)
    offsets = np.linspace(-0.4, 0.4, 7)
    assert count(np.tile(normal, (7, 1)), offsets) == 8


@pytest.mark.parametrize("dim", DIMS)
@some
@given(
    seed=st.integers(0, 2**32 - 1),
    factor=st.sampled_from([1.0, -1.0, 3.0, -1 / 3, 1e-8, -1e8, math.pi]),
)
def test_coincident_hyperplanes(dim, seed, factor):
    """A second unit on a hyperplane, whatever its length and side, cuts nothing more."""
    rng = np.random.default_rng(seed)
    normals, offsets = rng.normal(size=(4, dim)), rng.normal(size=4) / 2
    once = count(normals, offsets)
    again = np.concatenate([normals, factor * normals[:2]])
    assert count(again, np.concatenate([offsets, factor * offsets[:2]])) == once


@pytest.mark.parametrize("dim", DIMS)
def test_coincident_hyperplanes_in_a_later_layer(dim):
    """A layer's unit that repeats one of the layer before, behind a residual sum."""

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.enter = linear(np.random.default_rng(dim).normal(size=(4, dim)), 0.3)
            self.bend = nn.ReLU()
            self.leave = linear(np.ones((1, 4)))

        def forward(self, x):
            g = self.enter(x)
            return self.leave(self.bend(g) + self.bend(g + g))

    once = nn.Sequential(Twice().enter, nn.ReLU(), linear(np.ones((1, 4))))
    regions = enumerate_regions(Twice(), -1, 1)
    is_sound(regions, Twice())
    assert len(regions) == len(enumerate_regions(once, -1, 1))


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize(
    ("weight", "bias"), [(1.0, -100.0), (1.0, 100.0), (0.0, 0.0), (0.0, 2.0), (0.0, -2.0)]
)
def test_units_that_never_switch(dim, weight, bias):
    """Dead ones, those that are always on, and those without weights."""
    network = perceptron(dim, 5, 4, 2, seed=dim)
    expected = enumerate_regions(network, -1, 1)
    more = copy.deepcopy(network)
    idle = weight * np.ones((1, dim))
    more[0] = linear(
        np.concatenate([idle, network[0].weight.detach(), idle]),
        np.concatenate([[bias], network[0].bias.detach(), [bias]]),
    )
    outgoing = network[2].weight.detach().numpy()
    more[2] = linear(np.pad(outgoing, ((0, 0), (1, 1))), network[2].bias.detach())
    regions = enumerate_regions(more, -1, 1)
    is_sound(regions, more)
    assert regions.face_counts == expected.face_counts
    assert (regions.patterns[:, [0, 6]] == (bias > 0)).all()


@pytest.mark.parametrize("dim", DIMS)
def test_networks_of_zeros(dim):
    network = perceptron(dim, 3, 3, 2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    regions = enumerate_regions(network, -1, 1)
    assert len(regions) == 1
    assert not regions.patterns.any()
    is_sound(regions, network)


@pytest.mark.parametrize("dim", DIMS)
def test_hyperplanes_that_only_touch_the_box(dim):
    """At a corner, along an edge, along a side: none cuts."""
    for last in range(1, dim + 1):
        normal = np.ones(dim)
        normal[last:] = 0
        for side in (1, -1):
            assert count([normal], side * last) == 1
            assert count([-normal], side * last) == 1


@pytest.mark.parametrize(("dim", "expected"), [(2, 2), (3, 2), (4, 2)])
def test_hyperplanes_through_corners(dim, expected):
    """x_1 = x_2 contains corners and edges of the box; with all of them, a braid's."""
    normal = np.zeros(dim)
    normal[:2] = 1, -1
    assert count([normal], 0) == expected
    # sum x_i = n - 2 contains the n corners next to the largest, and cuts that one off.
    assert count([np.ones(dim)], dim - 2) == 2


@pytest.mark.parametrize("dim", DIMS)
@some
@given(
    seed=st.integers(0, 2**32 - 1),
    layers=st.integers(2, 3),
    activation=st.sampled_from(["relu", "absolute", "hardtanh"]),
)
def test_small_integer_weights(dim, seed, layers, activation):
    """Nothing is in general position here, and numbers are exact until edges are cut."""
    widths = [dim, *[{1: 8, 2: 6, 3: 5, 4: 4}[dim]] * layers, 2]
    network = small_integers(stack(widths, activation), seed)
    is_sound(enumerate_regions(network, -1, 1), network)
    is_sound(enumerate_regions(network, -2, 1), network)


@pytest.mark.parametrize("dim", DIMS)
@some
@given(seed=st.integers(0, 2**32 - 1))
def test_most_weights_zero(dim, seed):
    network = perceptron(dim, 6, 5, 4, 2, seed=seed % 1000)
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter *= torch.from_numpy(rng.uniform(size=tuple(parameter.shape)) < 0.4)
    is_sound(enumerate_regions(network, -1, 1), network)


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("distance", [1.0, 1e3, 1e6])
def test_far_from_the_origin(dim, distance):
    """Integer weights, then all is moved: what is degenerate stays so, in later layers too.

    The first layer's terms cancel to a number that is wrong by 1e-16 * distance; regions
    are counted as without the move. (Coordinates there are no finer than that either.)
    """
    rng = np.random.default_rng([dim, int(distance)])
    for seed in range(15):
        network = small_integers(stack([dim, 4, 4, 4, 2], "relu"), seed)
        expected = enumerate_regions(network, -1, 1)
        centre = distance * rng.normal(size=dim)
        weight, bias = (tensor.detach().numpy() for tensor in network[0].parameters())
        moved = copy.deepcopy(network)
        moved[0] = linear(weight / 0.7, bias - weight / 0.7 @ centre)
        regions = enumerate_regions(moved, centre - 0.7, centre + 0.7)
        assert regions.face_counts == expected.face_counts, seed
        is_sound(regions, moved) if distance <= 1e3 else has_neighbours(regions)
        # Volumes of side 1.4 from coordinates that are wrong by 1e-16 * distance.
        np.testing.assert_allclose(
            np.sort(regions.volumes) / 0.7**dim, np.sort(expected.volumes), atol=1e-13 * distance
        )


@pytest.mark.parametrize("dim", DIMS)
def test_very_uneven_boxes(dim):
    """Stretching axes by 1e-4 to 1e4 stretches the regions and changes nothing else."""
    network = perceptron(dim, 6, 5, 2, seed=dim + 3)
    expected = enumerate_regions(network, -1, 1)
    stretch = 10.0 ** np.linspace(-4, 4, dim) if dim > 1 else np.array([1e4])
    weight, bias = (tensor.detach().numpy() for tensor in network[0].parameters())
    network[0] = linear(weight / stretch, bias)
    regions = enumerate_regions(network, -stretch, stretch)
    is_sound(regions, network)
    assert regions.face_counts == expected.face_counts
    np.testing.assert_allclose(regions.volumes / stretch.prod(), expected.volumes, atol=1e-12)
    # And with weights that make nothing of it.
    network = perceptron(dim, 6, 5, 2, seed=dim + 3)
    is_sound(enumerate_regions(network, -stretch, stretch), network)


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_weights_of_extreme_scale(dim, scale):
    """Units made larger and their outgoing weights smaller are the same function."""
    network = perceptron(dim, 6, 5, 2, seed=dim)
    expected = enumerate_regions(network, -1, 1)
    scaled = copy.deepcopy(network)
    factors = torch.ones(6, dtype=torch.float64)
    factors[::2] = scale
    with torch.no_grad():
        scaled[0].weight.mul_(factors[:, None])
        scaled[0].bias.mul_(factors)
        scaled[2].weight.div_(factors)
    regions = enumerate_regions(scaled, -1, 1)
    is_sound(regions, scaled)
    assert regions.face_counts == expected.face_counts
    np.testing.assert_allclose(regions.volumes, expected.volumes, atol=1e-13)
    # Layers of different scales, so that one's biases hardly count.
    with torch.no_grad():
        network[0].weight.mul_(scale)
        network[2].bias.mul_(scale)
    is_sound(enumerate_regions(network, -1, 1), network)


def test_weights_whose_products_overflow():
    """Near the end of float64 a network is enumerated, beyond it is refused; never NaN."""
    for scale in (1e-300, 1e-200, 1e150):
        network = nn.Sequential(linear([[scale], [-scale]], 0.0), nn.ReLU(), linear([[1.0, 1.0]]))
        assert len(enumerate_regions(network, -1, 1)) == 2
    network = nn.Sequential(
        linear([[1e200], [-1e200]]), nn.ReLU(), linear([[1e200, 1.0]]), nn.ReLU()
    )
    with np.errstate(over="ignore"), refuses(ConfigurationError, "overflow"):
        enumerate_regions(network, -1, 1)


@pytest.mark.parametrize("dim", [2, 3, 4])
@pytest.mark.parametrize("size", [1e-15, 1e-13, 1e-12, 1e-11, 1e-9])
def test_nearly_degenerate_arrangements(dim, size):
    """Integer weights moved by about the tolerance: a complex and the network's, or refused.

    Which of the regions that are thinner than the tolerance exist is left open, and so is
    where exactly hyperplanes cross that differ by no more than that.
    """
    refusals = []
    for seed in range(60):
        network = small_integers(stack([dim, 5, 4, 2], "relu"), seed)
        rng = np.random.default_rng(seed)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter += size * torch.from_numpy(rng.normal(size=tuple(parameter.shape)))
        try:
            regions = enumerate_regions(network, -1, 1)
        except ConfigurationError as error:
            refusals.append(str(error))
            continue
        assert euler(regions.face_counts) == 1, seed
        has_neighbours(regions)
        closes(regions)
        # 512 tolerances, times what two layers of five units make of them.
        agrees_with(regions, network, 1e-7)
    assert len(refusals) <= 1, refusals
    assert all("coincide or keep apart" in refusal for refusal in refusals)


@pytest.mark.parametrize(
    ("dim", "size", "seed"), [(4, 1e-11, 1062), (4, 1e-11, 1071), (3, 1e-11, 1221)]
)
def test_regions_fill_the_box_or_are_refused(dim, size, seed):
    """Hyperplanes as close as the first tolerance: by it alone, volumes were 1e-7 to 9e-3 off."""
    network = small_integers(stack([dim, 5, 4, 2], "relu"), seed)
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += size * torch.from_numpy(rng.normal(size=tuple(parameter.shape)))
    regions = enumerate_regions(network, -1, 1)
    assert regions.volumes.sum() == pytest.approx(2**dim, rel=1e-10)


@pytest.mark.parametrize("dim", [1, 2, 3, 4])
def test_points_are_located_where_units_are_zero_but_for_rounding(dim):
    """Their own pattern is that of the noise; the region is the one whose map is right."""
    for seed in range(10):
        network = small_integers(stack([dim, 5, 4, 2], "relu"), seed)
        rng = np.random.default_rng(seed)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter += 1e-15 * torch.from_numpy(rng.normal(size=tuple(parameter.shape)))
        regions = enumerate_regions(network, -1, 1)
        points = np.concatenate(
            [rng.uniform(-1, 1, (100, dim)), rng.choice([-1, -0.5, 0, 0.5, 1], (50, dim))]
        )
        found = regions.locate(points)
        assert (found >= 0).all()
        assert regions.occupancy(points).sum() == len(points)
        maps = np.einsum("rmn,rn->rm", regions.weights[found], points) + regions.biases[found]
        expected = network(torch.from_numpy(points)).detach().numpy()
        # Sums of a few integers times the noise of 1e-15.
        np.testing.assert_allclose(maps, expected, atol=1e-12)


def test_sides_that_no_hyperplane_gives_are_refused():
    """Where no tolerance helps: a saddle on the square's corners, a cube's opposite ones."""
    for dim, values in ((2, [1.0, -1.0, -1.0, 1.0]), (3, [1.0, 0, 0, -1, -1, -1, -1, 1])):
        cells = CellComplex(-np.ones(dim), np.ones(dim), 8)
        with refuses(ConfigurationError, "coincide or keep apart", "number 5"):
            cells.cut(np.array(values)[:, None], np.zeros(1), np.full(1, 1e-12), 5, 100)
