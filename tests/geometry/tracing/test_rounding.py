"""What counts as zero: a scale for each unit, from what its number is the sum of."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bandlimiter.errors import ConfigurationError
from bandlimiter.geometry import (
    count_flips,
    piece_around,
    read_graph,
    trace_line,
    trace_plane,
)
from bandlimiter.geometry.graph import AffineStep
from tests.geometry.checks import refuses
from tests.geometry.tracing.networks import BLOCKS, SHAPE, network_of, two_images


class Cancelling(nn.Module):
    """A unit that is zero on paper, and rounding in float64, between two ends where all is 0."""

    def forward(self, x):
        h = F.relu(1 - x.abs())
        return F.relu(h * 0.1 + h * 0.2 - h * 0.3) + 0 * x


def test_what_cancels_on_paper_does_not_bend():
    """At both ends the unit reads exact zeros; between them 3e-17 of both signs."""
    trace = trace_line(Cancelling(), torch.linspace(-2, -2.5, 50), torch.linspace(2, 2.3, 50))
    assert trace.crossings == {"abs": 50, "relu": 100, "relu#2": 0}


@pytest.mark.parametrize("seed", range(5))
def test_units_of_other_scales_are_not_lost(seed):
    """A unit 1e15 times smaller than its neighbours, and weighed 1e15 times as much."""
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).double()
    network.requires_grad_(False)
    network[0].weight[0] *= 1e-15
    network[0].bias[0] *= 1e-15
    network[2].weight[:, 0] = 1e15
    start, end = torch.randn(2, 3).double()
    t = np.linspace(0, 1, 200)
    expected = network(start + torch.from_numpy(t)[:, None] * (end - start)).numpy()
    found = trace_line(network, start, end).at(t)
    # Sums of four terms: rounding.
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13 * np.abs(expected).max())


@pytest.mark.parametrize("seed", range(5))
def test_flips_and_pieces_see_them_too(seed):
    """The same network with the small unit alone at the front: it must flip, and end pieces."""
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU()).double().requires_grad_(False)
    start, end = torch.randn(2, 3).double()
    plain = count_flips(network, start[None], end[None])["1"]
    piece = piece_around(network, start[None], (end - start)[None])
    network[0].weight[0] *= 1e-15
    network[0].bias[0] *= 1e-15
    assert torch.equal(count_flips(network, start[None], end[None])["1"], plain)
    scaled = piece_around(network, start[None], (end - start)[None])
    # A unit's own factor moves no boundary, but for the rounding of its product.
    torch.testing.assert_close(scaled.before, piece.before, rtol=1e-13, atol=0)
    torch.testing.assert_close(scaled.after, piece.after, rtol=1e-13, atol=0)


def test_numbers_that_overflow_are_told():
    network = nn.Sequential(nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 1)).double()
    for parameter in network.parameters():
        nn.init.constant_(parameter, 1e200)
    with refuses(ConfigurationError, "overflow", "scale"):
        trace_line(network, [1.0], [2.0])
    with refuses(ConfigurationError, "overflow", "scale"):
        trace_plane(nn.Sequential(nn.Linear(2, 1), *network), [1.0, 1], [1.0, 0], [0.0, 1], 1)


@pytest.mark.parametrize("kind", sorted(BLOCKS))
def test_moduli_bound_what_they_are_the_moduli_of(kind):
    graph = read_graph(network_of("relu", kind, seed=3), SHAPE)
    registers = {0: torch.cat([two_images(1), -two_images(2)])}
    for step in graph.steps:
        registers[step.target] = step.apply(registers)
        if isinstance(step, AffineStep):
            bound = step.call.absolute(*(registers[source].abs() for source in step.sources))
            # Both sum some hundred terms to rounding.
            assert (registers[step.target].abs() <= bound * (1 + 1e-12)).all()
