"""Traces against other ways to the same breakpoints, for networks that these can do."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bandlimiter.geometry import segment_crossings
from bandlimiter.geometry.tracing import trace_line
from tests.geometry.networks import every_kind, networks
from tests.geometry.tracing.networks import network_of, two_images
from tests.geometry.tracing.watching import Watched


@pytest.mark.parametrize("dim", [1, 3])
@settings(max_examples=30, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_edges_of_regions(dim, data, seed):
    """`segment_crossings` cuts the segment as a one-dimensional box."""
    agrees_with_regions(data.draw(networks(dim)), np.random.default_rng(seed).normal(size=(2, dim)))


@pytest.mark.parametrize("seed", range(5))
def test_edges_of_regions_for_every_kind(seed):
    agrees_with_regions(every_kind(3, seed), 3 * np.random.default_rng(seed).normal(size=(2, 3)))


def agrees_with_regions(network: nn.Module, ends: np.ndarray) -> None:
    expected = segment_crossings(network, *ends)
    trace = trace_line(network, *ends)
    # Rounding of numbers that cross their thresholds in 1e-4 of the line or faster.
    distinct = trace.t[np.diff(trace.t, prepend=-1) > 1e-12]
    np.testing.assert_allclose(distinct, expected.positions, rtol=0, atol=1e-11)
    assert sum(trace.crossings.values()) == sum(expected.crossings.values())


def test_marching_by_gradients():
    """From piece to piece: within one, autograd's derivatives say which number is next at zero."""
    network = network_of("relu", "average", "leaky", seed=12)
    start, end = two_images(12)
    trace = trace_line(network, start, end)
    line = Watched(network, start, end)
    t, found = 0.0, []
    while True:
        inside = t + 1e-9  # pieces are longer: asserted below
        numbers, slopes = numbers_and_slopes(line, inside)
        when = np.where(slopes != 0, inside - numbers / np.where(slopes == 0, 1, slopes), np.inf)
        t = when[when > inside].min(initial=np.inf)
        if t >= 1:
            break
        found.append(t)
    assert np.diff(trace.t).min() > 1e-8
    # Numbers that cross in 1e-3 of the line or faster, and rounding.
    np.testing.assert_allclose(found, trace.t, rtol=0, atol=1e-12)


def numbers_and_slopes(line: Watched, t: float) -> tuple[np.ndarray, np.ndarray]:
    """All numbers that ReLUs see, and their derivatives along the line, by autograd."""

    def numbers(t: torch.Tensor) -> torch.Tensor:
        seen: list[torch.Tensor] = []
        handles = [
            layer.register_forward_pre_hook(lambda layer, given: seen.append(given[0].flatten()))
            for layer in line.network.modules()
            if isinstance(layer, nn.ReLU | nn.LeakyReLU)
        ]
        line.network((line.start + t * (line.end - line.start))[None])
        for handle in handles:
            handle.remove()
        return torch.cat(seen)

    here = torch.tensor(t, dtype=torch.float64)
    value, slope = torch.autograd.functional.jvp(numbers, here, torch.ones_like(here))
    return value.numpy(), slope.numpy()
