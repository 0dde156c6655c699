"""Lines through random networks of every supported kind, watched by hooks."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandlimiter.geometry.graph import read_graph
from bandlimiter.geometry.tracing import trace_line
from tests.geometry.tracing.checks import close, holds, same_breakpoints
from tests.geometry.tracing.networks import BLOCKS, SHAPE, network_of, networks, two_images
from tests.geometry.tracing.watching import Watched

SEEDS = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize("kind", sorted(BLOCKS))
def test_each_kind(kind):
    """Before and after a ReLU, so that its input is bent and its own breakpoints are passed on."""
    network = network_of("relu", kind, "relu", seed=1)
    start, end = two_images(1)
    trace = trace_line(network, start, end)
    assert len(trace) > 50
    holds(trace, Watched(network, start, end))


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(network=networks(), seed=SEEDS)
def test_any_kinds_together(network, seed):
    start, end = two_images(seed)
    holds(trace_line(network, start, end), Watched(network, start, end))


@settings(max_examples=15, deadline=None)
@given(network=networks(), seed=SEEDS, at=st.floats(0.1, 0.9))
def test_the_same_whole_in_parts_and_backwards(network, seed, at):
    """Positions agree to 1e-12: rounding is 1e-15 of numbers that cross their thresholds in
    1e-3 of the line or faster."""
    start, end = two_images(seed)
    graph = read_graph(network, SHAPE)
    whole = trace_line(graph, start, end)
    middle = start + at * (end - start)

    smallest = trace_line(graph, start, end, memory=1e-9)  # four points a pass
    same_breakpoints(whole, smallest, smallest.t, 1e-12)
    close(smallest.outputs, whole.outputs, 1e-11 * np.abs(whole.outputs).max())

    backwards = trace_line(graph, end, start)
    same_breakpoints(whole, backwards, 1 - backwards.t, 1e-12)

    halves = trace_line(graph, start, middle), trace_line(graph, middle, end)
    t = [at * halves[0].t, at + (1 - at) * halves[1].t]
    columns = {
        column: np.concatenate([getattr(half, column) for half in halves])
        for column in ("layer", "unit", "threshold")
    }
    both = replace(whole, t=np.concatenate(t), **columns)
    same_breakpoints(whole, both, both.t, 1e-12)
