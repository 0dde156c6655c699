"""The winners of pooling windows along a line, against envelopes found in exact rationals."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from torch import nn

from bandlimiter.geometry.tracing import count_flips, piece_around, trace_line
from tests.geometry.tracing.checks import holds
from tests.geometry.tracing.networks import network_of, two_images
from tests.geometry.tracing.watching import Watched

NUMBERS = st.lists(st.tuples(*[st.integers(-6, 6)] * 2), min_size=2, max_size=8)


def winners(numbers, t: Fraction) -> set:
    """The lines (start, end) that are the highest at t."""
    heights = {line: line[0] + t * (line[1] - line[0]) for line in numbers}
    return {line for line, height in heights.items() if height == max(heights.values())}


def changes(numbers) -> list[Fraction]:
    """Where another line becomes the highest: by trying all intersections of two."""
    rises = [(start, end - start) for start, end in set(numbers)]
    meetings = {
        Fraction(a - c, d - b)
        for a, b in rises
        for c, d in rises
        if b != d and (a - c) / (d - b) > 0
    }
    bounds = [Fraction(0), *sorted(t for t in meetings if 0 < t < 1), Fraction(1)]
    inside = [winners(numbers, (a + b) / 2) for a, b in pairwise(bounds)]
    return [t for t, (a, b) in zip(bounds[1:-1], pairwise(inside), strict=True) if a != b]


def at_ends(numbers, unit: float = 1.0) -> torch.Tensor:
    """The lines as inputs of a pooling: [2, 1, k]."""
    return unit * torch.tensor(numbers, dtype=torch.float64).T[:, None]


@settings(max_examples=300, deadline=None)
@given(numbers=NUMBERS, unit=st.sampled_from([1.0, 0.1, 1e-200]))
@example([(1, 0), (0, 1), (1, 1)], 0.1)
@example([(4, 0), (0, 4), (3, 3)], 0.1)  # a third is hidden between the winners at the ends
@example([(4, 0), (0, 4), (2, 2)], 0.1)  # it touches them where they meet, and never wins
@example([(4, 0), (0, 4), (2, 2), (4, 0), (0, 4)], 0.1)
@example([(0, 4), (-1, 5), (2, 2)], 0.1)  # three meet in a point
@example([(6, 0), (5, 3), (4, 4), (1, 5), (0, 6)], 0.1)
def test_one_window(numbers, unit):
    """In tenths, numbers that are equal on paper meet in different roundings."""
    start, end = at_ends(numbers, unit)
    assume((start != end).any())
    expected = changes(numbers)
    pool = nn.MaxPool1d(len(numbers))
    for memory in (512, 1e-9):
        trace = trace_line(pool, start, end, memory=memory)
        # Both are quotients of small integers: a few roundings.
        np.testing.assert_allclose(trace.t, [float(t) for t in expected], rtol=0, atol=1e-15)
    differ = not winners(numbers, Fraction(0)) & winners(numbers, Fraction(1))
    assert int(count_flips(pool, start[None], end[None])[""]) == differ


@settings(max_examples=100, deadline=None)
@given(numbers=NUMBERS, at=st.fractions(0, 1, max_denominator=8))
def test_the_piece_around_a_point_of_a_window(numbers, at):
    """On a change the point belongs to the piece after it."""
    start, end = at_ends(numbers)
    found = piece_around(
        nn.MaxPool1d(len(numbers)), (start + float(at) * (end - start))[None], (end - start)[None]
    )
    # Beyond the ends of the line there are changes too.
    longer = [(s - 99 * (e - s), e + 99 * (e - s)) for s, e in numbers]
    bounds = [199 * t - 99 for t in changes(longer)]
    before = [float(at - t) for t in bounds if t <= at]
    after = [float(t - at) for t in bounds if t > at]
    for distance, expected in ((found.before, before), (found.after, after)):
        assert float(distance) == pytest.approx(min(expected, default=np.inf), rel=1e-14, abs=1e-14)


@pytest.mark.parametrize("kind", ["max overlapping", "max ceil", "max dilated", "max adaptive"])
def test_windows_that_share_their_winners_change_together(kind):
    network = network_of(kind, seed=3)
    start, end = two_images(3)
    trace = trace_line(network, start, end)
    pool = trace.layer == "2"
    _, together = np.unique(trace.t[pool], return_counts=True)
    assert (together > 1).any() == (kind != "max ceil")
    holds(trace, Watched(network, start, end), scanned=2000)


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        # The first is off before the second is on: a tie of zeros between them hides the change.
        ([(1, -3), (-3, 1)], {"0": [0.25, 0.75], "1": []}),
        # A momentary one does not.
        ([(1, -1), (-1, 1)], {"0": [0.5, 0.5], "1": [0.5]}),
        # On together and equal for ever.
        ([(-1, 1), (-1, 1)], {"0": [0.5, 0.5], "1": []}),
        # On together, one faster: it won the tie of zeros already.
        ([(-1, 1), (-2, 2)], {"0": [0.5, 0.5], "1": []}),
    ],
)
def test_ties_of_zeros_after_a_relu(numbers, expected):
    start, end = at_ends(numbers)
    trace = trace_line(nn.Sequential(nn.ReLU(), nn.MaxPool1d(2)), start, end)
    assert {name: trace.t[trace.layer == name].tolist() for name in trace.crossings} == expected
