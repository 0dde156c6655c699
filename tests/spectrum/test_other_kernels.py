"""Transforms do not depend on how a network's sums are rounded (`tests.kernels`)."""

import numpy as np
import pytest

from bandlimiter.geometry import enumerate_regions, trace_line
from bandlimiter.spectrum import facet_transform, line_kinks, line_transform, network_transform
from tests.geometry.networks import one_function_twice, reordered
from tests.geometry.tracing.networks import network_of, two_images
from tests.kernels import OtherKernels, Rounding
from tests.spectrum.networks import frequencies, perceptron


@pytest.mark.parametrize("widths", [(1, 16, 16, 2), (2, 10, 8, 2), (3, 5, 4, 1), (4, 4, 3, 2)])
def test_networks(widths):
    """Read from noise, and added up in another order from the first layer to the last."""
    network, dim = perceptron(*widths, seed=7), widths[0]
    other = OtherKernels(reordered(network, 7))
    waves = np.concatenate([np.zeros((1, dim)), frequencies(20, dim, 0.1, 50)])
    found, expected = (
        network_transform(module, waves, lower=-1.0, upper=1.0) for module in (other, network)
    )
    # 1e-11 of each simplex's part is promised; the parts add up to a few times the whole at 0.
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11 * np.abs(expected[0]).max())
    kinks, others = (
        facet_transform(enumerate_regions(module, -np.ones(dim), np.ones(dim)), waves[1:]).kinks
        for module in (other, network)
    )
    np.testing.assert_allclose(others, kinks, rtol=0, atol=1e-11 * np.abs(kinks).max())


@pytest.mark.parametrize("kind", ["relu", "max", "residual", "average"])
def test_lines(kind):
    """A traced line of a convolutional network, every sum of which is off."""
    network, (start, end) = network_of(kind, "relu", seed=3), two_images(3)
    waves = np.linspace(0.5, 60, 20)
    trace = trace_line(network, start, end)
    with Rounding():
        other = trace_line(OtherKernels(network), start, end)
    assert len(other) == len(trace) > 3
    for transform in (line_transform, line_kinks):
        found, expected = transform(other, waves), transform(trace, waves)
        # Outputs to 1e-14 or so; slopes lose digits on pieces that are a thousandth of the line.
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10 * np.abs(expected).max())


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_what_is_nothing_but_rounding_has_no_kinks_and_no_more_than_rounding(dim):
    network = OtherKernels(one_function_twice(0, dim, 6))
    regions = enumerate_regions(network, -np.ones(dim), np.ones(dim))
    waves = frequencies(5, dim, 3, 60)
    assert len(regions) > 1
    np.testing.assert_array_equal(facet_transform(regions, waves).kinks, np.zeros((5, 2)))
    # Outputs of 1e-15, in a box of volume 2^n at most 8, over (2 pi)^(n/2).
    found = network_transform(network, waves, lower=-1.0, upper=1.0)
    assert np.abs(found).max() < 1e-13
