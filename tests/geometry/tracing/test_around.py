"""The piece around a point, against traces and against bisection of the layers' states."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bandlimiter.geometry.graph import read_graph
from bandlimiter.geometry.tracing import piece_around, trace_line
from tests.geometry.networks import linear
from tests.geometry.tracing.checks import middles
from tests.geometry.tracing.networks import BLOCKS, SHAPE, network_of, networks, two_images
from tests.geometry.tracing.watching import Watched

FURTHEST = 1e3
"""Times the distance between two images: who is not met by then is taken to be nowhere."""


@pytest.mark.parametrize("kind", sorted(BLOCKS))
def test_neighbouring_breakpoints(kind):
    """From the middle of a piece, the breakpoints of a trace on both sides."""
    graph = read_graph(network_of("leaky", kind, "relu", seed=9), SHAPE)
    start, end = two_images(9)
    bounds = trace_line(graph, start, end).knots[1:-1]
    bounds = bounds[np.diff(bounds, prepend=0) > 1e-9]
    points = start + torch.from_numpy(middles(bounds)).view(-1, 1, 1, 1) * (end - start)
    for memory in (512, 1e-9):
        found = piece_around(graph, points, (end - start).expand_as(points), memory=memory)
        # Rounding is 1e-15 of numbers that cross their thresholds in 1e-3 of the line or faster.
        half = torch.from_numpy(np.diff(bounds) / 2)
        torch.testing.assert_close(found.before, half, rtol=0, atol=1e-12)
        torch.testing.assert_close(found.after, half, rtol=0, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(network=networks(), seed=st.integers(0, 2**32 - 1))
def test_bisection(network, seed):
    """Regions are convex: states are the same as far as the piece goes, and then never again."""
    x, towards = two_images(seed)
    found = piece_around(network, x[None], (towards - x)[None])
    for reach, sign in ((found.after, 1), (found.before, -1)):
        line = Watched(network, x, x + sign * (towards - x), noise=0.0)
        same, other = 0.0, min(2 * float(reach), FURTHEST)
        assert other > 0
        while other - same > 1e-12 * other:
            middle = (same + other) / 2
            same, other = (middle, other) if unchanged(line, middle) else (same, middle)
        # Rounding of numbers that cross their thresholds in 1e-5 of the line or faster.
        assert min(float(reach), FURTHEST) == pytest.approx(same, rel=1e-10, abs=1e-10)


def unchanged(line: Watched, t: float) -> bool:
    _, given = line.at([0.0, t])
    states = {name: line.states(name, numbers).chunk(2) for name, numbers in given.items()}
    return not any(line.changes(name, *both).any() for name, both in states.items())


FOLD = nn.Sequential(linear([[1.0]]), nn.LeakyReLU(-1.0), linear([[1.0]], -0.5), nn.LeakyReLU(-1.0))
"""| |x| - 1/2 |, with thresholds at -1/2, 0 and 1/2."""


@pytest.mark.parametrize(
    ("x", "direction", "before", "after"),
    [
        (0.125, 1.0, 0.125, 0.375),
        (0.125, -2.0, 0.1875, 0.0625),
        (2.0, 1.0, 1.5, np.inf),
        (2.0, -1.0, np.inf, 1.5),
        # A point on a threshold belongs to the piece that comes after it.
        (0.0, 1.0, 0.0, 0.5),
        (0.0, -1.0, 0.0, 0.5),
        (0.5, 1.0, 0.0, np.inf),
        (0.5, -1.0, 0.0, 0.5),
        (-0.5, 0.25, 0.0, 2.0),
        (0.3, 0.0, np.inf, np.inf),
    ],
)
def test_on_thresholds_and_beyond_the_last(x, direction, before, after):
    found = piece_around(FOLD, torch.tensor([[x]]).double(), torch.tensor([[direction]]))
    assert (float(found.before), float(found.after)) == (before, after)
    assert float(found.length) == before + after


def test_points_of_a_batch_do_not_see_each_other():
    network = network_of("relu", "max overlapping", "residual", seed=10)
    ends = torch.stack([two_images(seed) for seed in range(6)])
    ends[3] *= 1e6  # so that scales differ
    x, d = ends.unbind(1)
    together = piece_around(network, x, d)
    for i in range(6):
        alone = piece_around(network, x[i : i + 1], d[i : i + 1])
        # A batch is multiplied in other blocks: roundings.
        assert float(alone.before) == pytest.approx(float(together.before[i]), rel=1e-11)
        assert float(alone.after) == pytest.approx(float(together.after[i]), rel=1e-11)


def test_constants_that_are_added():
    """Only what multiplies the input counts for how fast a number changes."""

    class Shifted(nn.Module):
        def forward(self, x):
            y = 2 * (x + 3) - 1.5
            y = 5 - (y + torch.ones(1)) / 2
            return torch.cat([y, torch.ones_like(y)], dim=1).relu()

    # The ReLU reads 2.25 - x.
    found = piece_around(Shifted(), torch.tensor([[1.0]]), torch.tensor([[1.0]]))
    assert (float(found.before), float(found.after)) == (np.inf, 1.25)
