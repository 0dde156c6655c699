"""Transforms of networks against quadrature of the torch module, and against each other."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from bandlimiter.errors import ConfigurationError, InputError
from bandlimiter.geometry import enumerate_regions, read_network
from bandlimiter.spectrum import cone_transform, network_transform, regions_transform
from tests.spectrum.networks import Residual, evaluate, frequencies, perceptron, worst
from tests.spectrum.quadrature import (
    breakpoints,
    line_transform,
    simplices_transform,
    transform_by_product_rule,
)


def dead() -> nn.Sequential:
    """Units that never fire, units that always do, and one twice."""
    network = perceptron(2, 6, 4, 2, seed=5)
    with torch.no_grad():
        network[0].bias[0], network[0].bias[1] = -20, 20
        network[0].weight[3], network[0].bias[3] = network[0].weight[2], network[0].bias[2]
        network[2].bias[0] = -20
    return network


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    "widths", [(1, 1), (1, 16, 1), (1, 16, 16, 3), (1, 12, 12, 12, 2), (1, 1, 1, 1, 1)]
)
@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "hardtanh"])
def test_one_dimension_by_quadrature(widths, activation, bias):
    network = perceptron(*widths, bias=bias, activation=activation, seed=sum(widths))
    lower, upper = -2.0, 3.0
    waves = np.concatenate([np.zeros((1, 1)), frequencies(8, 1, 0.01, 40)])
    edges = breakpoints(network, lower, upper)
    expected = line_transform(lambda x: evaluate(network, np.array([[x]]))[0], edges, waves)
    found = network_transform(network, waves, lower=lower, upper=upper)
    assert found.shape == (9, widths[-1])
    error, where = worst(found, expected, waves)
    # quad_vec's own tolerance is 1e-12, and more than met. Two breaks of one unit less than
    # 6e-4 apart, which the scan would miss, would add 1e-8 or so: there are none here.
    assert error < 1e-11, where


GRIDS = {2: (200, 600), 3: (24, 72)}
# Where a kink passes, a cell's error is the slope's jump times cell^(n + 1) times 1/50 or so, of
# either sign: 1 / cell^(n - 1) such cells add up to cell^2 / 50 and less, of 3e-5 and 1e-3.
GRID_TOLERANCES = {2: 1e-7, 3: 1e-5}


@pytest.mark.parametrize(
    ("widths", "bias", "activation"),
    [
        ((2, 16, 1), True, "relu"),
        ((2, 16, 16, 2), True, "relu"),
        ((2, 8, 8, 8, 2), True, "relu"),
        ((2, 16, 16, 2), False, "relu"),
        ((2, 6, 6, 3), True, "hardtanh"),
        ((3, 16, 2), True, "relu"),
        ((3, 8, 8, 1), True, "relu"),
        ((3, 5, 5, 5, 2), True, "leaky_relu"),
        ((3, 8, 8, 2), False, "relu"),
    ],
)
def test_more_dimensions_by_product_rules(widths, bias, activation):
    network = perceptron(*widths, bias=bias, activation=activation, seed=1)
    check_by_product_rules(network, widths[0], widths[-1])


@pytest.mark.parametrize("network", [dead(), Residual(2, 3)], ids=["dead", "residual"])
def test_unusual_networks_by_product_rules(network):
    check_by_product_rules(network, 2, 2)


def check_by_product_rules(network, dim, outputs):
    lower, upper = -np.ones(dim), np.linspace(0.7, 1.2, dim)
    waves = np.concatenate([np.zeros((1, dim)), frequencies(8, dim, 0.1, 10)])
    found = network_transform(network, waves, lower=lower, upper=upper)
    assert found.shape == (9, outputs)
    coarse, fine = (
        worst(transform_by_product_rule(network, lower, upper, waves, cells=cells), found, waves)
        for cells in GRIDS[dim]
    )
    assert fine[0] < GRID_TOLERANCES[dim], fine[1]
    # Cells a third as wide: a ninth of the error, more or less.
    assert fine[0] < coarse[0] / 3, (coarse, fine)


@pytest.mark.parametrize(
    ("widths", "bias", "count"),
    [
        ((1, 16, 16, 16, 2), True, 12),
        ((2, 8, 8, 2), True, 12),
        ((2, 6, 6, 6, 1), False, 14),
        ((3, 4, 3, 2), True, 12),
        ((3, 4, 4, 1), False, 14),
        ((4, 3, 2, 1), True, 9),
    ],
)
def test_region_by_region(widths, bias, count):
    """The regions are ours, the function is torch's: all digits can be asked for."""
    network, dim = perceptron(*widths, bias=bias, seed=3), widths[0]
    waves = frequencies(6, dim, 0, {1: 12, 2: 6, 3: 4, 4: 2}[dim])
    regions = enumerate_regions(network, -np.ones(dim), np.ones(dim))
    assert len(regions) > 3
    corners = regions.vertices[regions.triangulation.simplices]
    expected = simplices_transform(lambda x: evaluate(network, x), corners, waves, count=count)
    error, where = worst(regions_transform(regions, waves) / expected, 1, waves)
    # Phases run over |w| times a simplex's diameter, 8 at most, which the rules integrate to
    # 1e-11 or better.
    assert error < 1e-10, where


@pytest.mark.parametrize("corner", ["inside", "zero"])
@pytest.mark.parametrize("widths", [(1, 8, 8, 2), (2, 12, 8, 2), (3, 6, 4, 2), (4, 3, 1)], ids=str)
def test_theorem_2_7_mended_equals_the_network_s(widths, corner):
    """Whether the origin lies inside of the box, or is its corner, as the paper has it."""
    network, dim = perceptron(*widths, bias=False, seed=1), widths[0]
    lower, upper = np.zeros(dim), np.linspace(0.5, 2, dim)
    if corner == "inside":
        lower = lower - 1
    waves = np.concatenate([np.zeros((1, dim)), frequencies(16 - 3 * dim, dim, 0.01, 200)])
    expected = network_transform(network, waves, lower=lower, upper=upper)
    found = cone_transform(network, waves, lower=lower, upper=upper)
    error, where = worst(found / expected, 1, waves)
    # Phases of up to 200 * 4 in one double, 1e-13; for n = 4 the sum is a hundredth of its terms.
    assert error < 1e-11, where


def test_cones_refuse_biases():
    with pytest.raises(ConfigurationError, match="biases"):
        cone_transform(perceptron(2, 3, 1), [[1.0, 0.0]], lower=-1, upper=1)


def test_given_regions_and_networks_already_read():
    network, waves = perceptron(2, 8, 3), frequencies(5, 2, 0, 50)
    expected = network_transform(network, waves, lower=-1, upper=1)
    regions = enumerate_regions(network, -np.ones(2), np.ones(2))
    np.testing.assert_array_equal(regions_transform(regions, waves), expected)
    pieces = read_network(network)
    np.testing.assert_array_equal(network_transform(pieces, waves, lower=-1, upper=1), expected)


def test_the_number_of_threads_changes_no_bit():
    network, waves = perceptron(2, 12, 12, 2), frequencies(301, 2, 0, 500)
    regions = enumerate_regions(network, -np.ones(2), np.ones(2))
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(regions_transform(regions, waves))
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(*found)


def test_progress_counts_frequencies():
    seen = []
    network_transform(
        perceptron(1, 4, 1),
        np.ones((150, 1)),
        lower=0,
        upper=1,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen[-1] == (150, 150)
    assert seen == sorted(set(seen))
    assert len(seen) > 1


def test_refusals():
    network = perceptron(2, 3, 1)
    for waves in (np.ones(2), np.ones((4, 3)), [[math.nan, 0.0]], [[math.inf, 0.0]]):
        with pytest.raises(InputError, match="frequencies"):
            network_transform(network, waves, lower=-1, upper=1)
    with pytest.raises(InputError, match="lower < upper"):
        network_transform(network, np.ones((1, 2)), lower=1, upper=1)
    with pytest.raises(InputError, match="bounded box"):
        network_transform(network, np.ones((1, 2)), lower=-math.inf, upper=1)
    assert network_transform(network, np.ones((0, 2)), lower=-1, upper=1).shape == (0, 1)
