"""Planes through max-pooling: what wins is told apart, and beaten comparisons leave no trace."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bandlimiter.geometry.tracing import trace_plane
from tests.geometry.networks import linear
from tests.geometry.tracing.networks import BLOCKS, network_of, networks, randomised
from tests.geometry.tracing.slices import Slice, holds, plane_of, same_plane

EXTENT = (-0.07, 0.1, -0.05, 0.04)
TINY = 1e-9
POOLS = sorted(kind for kind in BLOCKS if kind.startswith("max"))


def check(network: nn.Module, plane, extent=EXTENT, scanned: int = 50) -> int:
    """All that holds, with plain and with little memory; return the number of regions."""
    trace = trace_plane(network, *plane, extent)
    holds(trace, Slice(network, *plane, extent), scanned)
    # Crossings are placed in other roundings.
    same_plane(trace, trace_plane(network, *plane, extent, memory=TINY), 1e-11)
    return len(trace)


@pytest.mark.parametrize("before", ["average", "leaky", "relu", "residual", "joined"])
@pytest.mark.parametrize("kind", POOLS)
def test_pools(kind, before):
    """After a ReLU there are ties of zeros; windows that overlap share comparisons."""
    network = network_of(*([before] if before != "average" else []), kind, "relu6", seed=11)
    assert check(network, plane_of(11)) > 10


@pytest.mark.parametrize(
    "kinds",
    [
        ("max dilated", "max dilated"),
        ("max dilated", "max overlapping"),
        ("relu", "max dilated", "max dilated"),
        ("max dilated", "relu", "max dilated"),
    ],
)
def test_a_pool_after_another(kinds):
    """What one window's winner beats may be what the next pool compares."""
    assert check(network_of(*kinds, seed=12), plane_of(12), (-0.15, 0.15, -0.1, 0.05)) > 100


class Pyramid(nn.Module):
    """Three pools of one layer side by side, and a difference that a larger input may hide."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pools = nn.ModuleList([nn.MaxPool2d(3, 2), nn.MaxPool2d(2), nn.AdaptiveMaxPool2d(1)])
        self.apart, self.bend = nn.Conv2d(channels, 2, (1, 2), bias=False), nn.ReLU()

    def forward(self, x):
        pooled = [pool(x).flatten(1) for pool in self.pools]
        return torch.cat([*pooled, self.bend(self.apart(x)).flatten(1)], dim=1)


def test_pools_side_by_side():
    """One pool's beaten comparison is another's winner, or a unit's hyperplane."""
    network = nn.Sequential(
        nn.Conv2d(2, 2, 3), nn.Identity(), Pyramid(2), nn.Linear(4 * 2 + 4 * 2 + 2 + 2 * 20, 3)
    )
    randomised(network, seed=13)
    # Each unit is the difference of two neighbours in a channel: what windows compare.
    network[2].apart.weight.zero_()
    network[2].apart.weight[[0, 1], [0, 1]] = torch.tensor([[1.0, -1.0]]).double()
    assert check(network, plane_of(13), (-0.3, 0.3, -0.2, 0.1)) > 100


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(network=networks(), seed=st.integers(0, 2**32 - 1))
def test_any_network(network, seed):
    check(network, plane_of(seed), (-0.02, 0.03, -0.02, 0.02), scanned=20)


def maximum(rows, bias=0.0) -> nn.Module:
    """The largest of affine functions of the plane's two coordinates."""
    return nn.Sequential(linear(rows, bias), nn.Unflatten(1, (1, -1)), nn.MaxPool1d(len(rows)))


IDENTITY = (np.zeros(2), *np.eye(2))


@pytest.mark.parametrize("memory", [512, TINY])
def test_regions_of_one_window(memory):
    """max(x, y, -x, -y, 1/2) wins a square in the middle and four trapezoids around it."""
    network = maximum([[1, 0], [0, 1], [-1, 0], [0, -1], [0, 0]], [0, 0, 0, 0, 0.5])
    trace = trace_plane(network, *IDENTITY, 1, memory=memory)
    assert sorted(trace.areas.tolist()) == [0.75] * 4 + [1.0]
    assert len(trace.vertices) == 8
    assert np.bincount(trace.edge_layer + 1).tolist() == [4, 8]
    holds(trace, Slice(network, *IDENTITY, (-1, 1, -1, 1)), scanned=20)


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.tuples(*[st.integers(-3, 3)] * 3), min_size=1, max_size=7))
def test_any_window(rows):
    """Integers: inputs are equal, three meet in points, and some win nowhere."""
    network = maximum([row[:2] for row in rows], [row[2] for row in rows])
    extent = (-1.25, 1.5, -1.75, 1.0)
    trace = trace_plane(network, *IDENTITY, extent)
    holds(trace, Slice(network, *IDENTITY, extent), scanned=10)
    same_plane(trace, trace_plane(network, *IDENTITY, extent, memory=TINY))


def test_ties_of_zeros():
    """max(relu(x), relu(y)): where both are zero neither wins, and nothing is divided."""
    network = nn.Sequential(nn.ReLU(), nn.Unflatten(1, (1, 2)), nn.MaxPool1d(2))
    for memory in (512, TINY):
        trace = trace_plane(network, *IDENTITY, 1, memory=memory)
        assert sorted(trace.areas.tolist()) == [0.5, 0.5, 1.0, 1.0, 1.0]
        assert np.bincount(trace.edge_layer + 1).tolist() == [8, 4, 1]
        np.testing.assert_array_equal(trace.outputs[:, 0], trace.vertices.max(axis=1).clip(0))
