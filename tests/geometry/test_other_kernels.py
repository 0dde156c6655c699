"""What is found of a network does not depend on how its sums are rounded (`tests.kernels`)."""

import numpy as np
import pytest
import torch

from bandlimiter.geometry import (
    count_flips,
    enumerate_regions,
    maximal_regions,
    piece_around,
    trace_line,
    trace_plane,
)
from tests.geometry.checks import is_sound
from tests.geometry.networks import (
    one_function_twice,
    perceptron,
    reordered,
    small_integers,
    stack,
)
from tests.geometry.tracing.checks import same_breakpoints
from tests.geometry.tracing.networks import BLOCKS, network_of, two_images
from tests.geometry.tracing.slices import plane_of, same_plane
from tests.kernels import OtherKernels, Rounding

pytestmark = pytest.mark.filterwarnings("error")
WIDTHS = {1: (8, 8), 2: (6, 6), 3: (5, 4), 4: (4, 3)}


@pytest.mark.parametrize("dim", WIDTHS)
@pytest.mark.parametrize("bias", [True, False])
def test_regions(dim, bias):
    """Read from noise, and added up in another order from the first layer to the last."""
    for seed in range(2):
        network = perceptron(dim, *WIDTHS[dim], 2, bias=bias, seed=seed)
        expected = enumerate_regions(network, -1, 1)
        other = enumerate_regions(OtherKernels(reordered(network, seed), seed=seed), -1, 1)
        is_sound(other, network)
        assert other.face_counts == expected.face_counts
        assert len(maximal_regions(other)) == len(maximal_regions(expected))
        np.testing.assert_allclose(np.sort(other.volumes), np.sort(expected.volumes), atol=1e-12)


@pytest.mark.parametrize("dim", WIDTHS)
def test_degenerate_regions(dim):
    """Hyperplanes that coincide on paper: thirds leave none of them where another is."""
    for seed in range(5):
        network = small_integers(stack([dim, *WIDTHS[dim], 2]), seed)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter /= 3
        expected = enumerate_regions(network, -1, 1)
        other = enumerate_regions(OtherKernels(reordered(network, seed), seed=seed), -1, 1)
        is_sound(other, network)
        assert other.face_counts == expected.face_counts, seed


@pytest.mark.parametrize("kind", BLOCKS)
def test_lines(kind):
    """Every sum of the reading and of the tracing is off."""
    start, end = two_images(4)
    network = network_of(kind, "relu", seed=4)
    trace = trace_line(network, start, end)
    with Rounding():
        other = trace_line(network, start, end)
        flips = count_flips(network, start[None], end[None])
        around = piece_around(network, start[None], (end - start)[None])
    # Roundings of a few layers' numbers, over the angles at which they pass thresholds.
    same_breakpoints(trace, other, other.t, 1e-10)
    np.testing.assert_allclose(other.outputs, trace.outputs, rtol=0, atol=1e-12)
    plain = count_flips(network, start[None], end[None])
    assert {name: flips[name].tolist() for name in flips} == {
        name: plain[name].tolist() for name in plain
    }
    assert float(around.after[0]) == pytest.approx(float(trace.knots[1]), abs=1e-10)


@pytest.mark.parametrize("kind", ["relu", "max overlapping", "residual"])
def test_planes(kind):
    network = network_of(kind, "relu", seed=2)
    plane = plane_of(2)
    trace = trace_plane(network, *plane, (-0.07, 0.1, -0.05, 0.04))
    with Rounding():
        other = trace_plane(network, *plane, (-0.07, 0.1, -0.05, 0.04))
    same_plane(trace, other)


def test_what_is_nothing_but_rounding_crosses_no_threshold():
    """A ReLU, and five more layers, of what cancels on paper: none of them cuts."""
    deep = torch.nn.Sequential(
        one_function_twice(0, 2, 10), torch.nn.ReLU(), perceptron(2, 8, 8, 8, 2, bias=False)
    )
    expected = enumerate_regions(deep[0], -1, 1)
    found = enumerate_regions(OtherKernels(deep), -1, 1)
    assert found.face_counts == expected.face_counts
    assert len(maximal_regions(found)) == 1
    start, end = torch.tensor([[-1.0, -0.7], [0.9, 1.0]], dtype=torch.float64)
    with Rounding():
        trace = trace_line(deep, start, end)
        assert set(trace.layer.tolist()) <= {"0.first.1", "0.first.3", "0.second.1", "0.second.3"}
        piece = piece_around(deep, start[None], (end - start)[None])
    assert float(piece.after[0]) == pytest.approx(float(trace.knots[1]), abs=1e-12)
    assert trace.shapes["1"] == (2,)
