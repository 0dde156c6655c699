"""Planes in which edges coincide or meet in one point, or numbers are zero all over."""

import numpy as np
import pytest
import torch
from torch import nn

from bandlimiter.geometry.tracing import trace_plane
from tests.geometry.networks import hyperplanes, linear, perceptron, small_integers
from tests.geometry.tracing.networks import SHAPE, network_of, randomised
from tests.geometry.tracing.slices import Slice, holds, plane_of, same_plane

TINY = 1e-9
IDENTITY = (np.zeros(2), *np.eye(2))


def check(network: nn.Module, plane, extent, precision: float = 1e-12):
    """All that holds, with plain and with little memory."""
    trace = trace_plane(network, *plane, extent)
    holds(trace, Slice(network, *plane, extent), scanned=30)
    same_plane(trace, trace_plane(network, *plane, extent, memory=TINY), precision)
    return trace


@pytest.mark.parametrize("first", [nn.ReLU(), nn.MaxPool2d(3, stride=1)])
def test_everything_meets_at_the_origin(first):
    """Without biases every edge is on a ray from the origin, and regions are sectors."""
    places = 98 if isinstance(first, nn.ReLU) else 50
    network = nn.Sequential(first, nn.Flatten(), linear(np.zeros((9, places))), nn.ReLU(),
                            linear(np.zeros((5, 9))), nn.LeakyReLU(0.1))  # fmt: skip
    randomised(network, seed=4)
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            nn.init.zeros_(layer.bias)
    _, u, v = plane_of(4)
    trace = check(network, (torch.zeros(SHAPE), u, v), (-2, 1, -1, 3))
    # One vertex inside; each edge but the border's ends there.
    inner = trace.edges[trace.edge_layer >= 0]
    assert len(inner) == len(trace) > 50
    # Where the first edge to go through it ends up, in roundings.
    assert (np.abs(trace.vertices[inner]).max(axis=2).min(axis=1) < 1e-14).all()


def test_duplicate_units_make_one_edge():
    network = perceptron(3, 8, 8, 2, seed=5)
    double = perceptron(3, 16, 8, 2, seed=5)
    with torch.no_grad():
        for name in ("weight", "bias"):
            getattr(double[0], name).copy_(torch.cat([getattr(network[0], name)] * 2))
        double[2].weight.copy_(torch.cat([network[2].weight / 4, network[2].weight * 3 / 4], dim=1))
        double[2].bias.copy_(network[2].bias)
        double[4].load_state_dict(network[4].state_dict())
    plane = np.random.default_rng(5).normal(size=(3, 3))
    extent = (-2, 2, -2, 2)
    trace = check(double, plane, extent)
    same_plane(trace, trace_plane(network, *plane, extent))


def test_coincident_hyperplanes():
    """Lines x = -1/2, 0, 1/2 and y = 0, each written several times, in other lengths and signs."""
    normals = [[1, 0], [-2, 0], [0.1, 0], [0, 1], [0, -3], [0, 0.7], [1e3, 0], [0.3, 0]]
    offsets = [0.5, -1, -0.05, 0, 0, 0, 0, 0]
    trace = check(hyperplanes(normals, offsets), IDENTITY, (-1, 1, -1, 1))
    np.testing.assert_allclose(trace.areas, 0.5, rtol=1e-14)
    assert len(trace) == 8


def test_a_layer_repeats_the_one_before():
    """What a second layer bends on is an edge already, and belongs to the first."""
    network = nn.Sequential(
        linear([[1, 0.3], [0.2, -1]], 0.1), nn.LeakyReLU(0.5), linear(np.eye(2)), nn.LeakyReLU(0.5)
    )
    trace = check(network, IDENTITY, (-1, 1, -1, 1))
    assert len(trace) == 4
    assert set(trace.edge_layer) == {-1, 0}


def test_zero_on_a_half_plane():
    """A unit that reads a dead one is zero, not divided, until that one wakes."""
    network = nn.Sequential(
        linear([[1, 0], [1, 1]], [0, -5]), nn.ReLU(), linear([[0.7, 0.1], [-0.3, 0.4]]), nn.ReLU()
    )
    trace = check(network, IDENTITY, (-1, 1, -1, 1))
    assert trace.areas.tolist() == [2, 2]
    assert sorted(trace.edge_layer)[-1] == 0


def test_a_hill_in_the_middle():
    """A unit and what reads it are zero at the corners: scales are those of the hill."""
    network = nn.Sequential(
        linear([[1, 0], [-1, 0], [0, 1], [0, -1]], 0.1), nn.LeakyReLU(-1),
        linear([[-1, -1, -1, -1]], 1.7), nn.ReLU(),
        linear([[0.3], [1.1], [-0.7]]), nn.ReLU(),
        linear([[0.1, 0.3, 0.7], [1.0, -0.4, 0.2]]), nn.LeakyReLU(0.1),
    )  # fmt: skip
    check(network, IDENTITY, (-3, 3, -2.9, 3.1))


@pytest.mark.parametrize("seed", range(25))
def test_small_integers(seed):
    """Weights -1, 0 and 1: coinciding hyperplanes, dead units, many lines in a point."""
    network = small_integers(
        nn.Sequential(
            nn.Linear(3, 6), nn.ReLU(), nn.Unflatten(1, (1, 6)), nn.MaxPool1d(3, 1),
            nn.Flatten(), nn.Linear(4, 5), nn.Hardtanh(-1, 1), nn.Linear(5, 4),
            nn.LeakyReLU(-1.0), nn.Linear(4, 2),
        ),
        seed,
    )  # fmt: skip
    check(network, [[0, 1, -2], [1, -1, 2], [0, 3, 1]], (-1.5, 3, -1.5, 2))


def test_far_from_the_origin():
    """Coordinates of 1e4 have roundings of 1e-12."""
    network, (origin, u, v) = network_of("relu", "max overlapping", "relu6", seed=6), plane_of(6)
    near = trace_plane(network, origin, u, v, (-0.05, 0.1, -0.02, 0.03))
    moved = origin - 1e4 * u + 2e4 * v
    far = check(
        network, (moved, u, v), (1e4 - 0.05, 1e4 + 0.1, -2e4 - 0.02, -2e4 + 0.03), precision=1e-9
    )
    assert len(far) == len(near)
    np.testing.assert_allclose(np.sort(far.areas), np.sort(near.areas), rtol=0, atol=1e-11)


@pytest.mark.parametrize("length", [1e-6, 1e6])
def test_directions_of_different_length(length):
    """The same plane in other coordinates: u is tiny or huge, v far from orthogonal to it."""
    network, (origin, u, v) = network_of("relu", "max", "relu6", seed=7), plane_of(7)
    trace = trace_plane(network, origin, u, v, (-0.05, 0.1, -0.02, 0.03))
    extent = (-0.05 / length, 0.1 / length, -0.02, 0.03)
    scaled = check(network, (origin, length * u, v), extent, precision=1e-11)
    np.testing.assert_allclose(
        np.sort(scaled.areas * length), np.sort(trace.areas), rtol=0, atol=1e-14
    )
    skew = u + 1e-3 * v
    check(network, (origin, u, skew), (-0.5, 0.1, -0.2, 0.3), precision=1e-9)
