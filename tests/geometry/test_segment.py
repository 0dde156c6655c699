"""What a straight step crosses, against breakpoints found by bisection of a fine walk."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bandlimiter.errors import InputError
from bandlimiter.geometry import read_network, segment_crossings
from tests.geometry.checks import refuses
from tests.geometry.networks import linear, networks, perceptron

pytestmark = pytest.mark.filterwarnings("error")


@pytest.mark.parametrize("dim", [1, 3])
@settings(max_examples=30, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_crossings_by_walking(dim, data, seed):
    network = data.draw(networks(dim))
    start, end = np.random.default_rng(seed).normal(size=(2, dim))
    found = segment_crossings(network, start, end)
    pieces = read_network(network)

    def patterns(t):
        return pieces.patterns(start + np.asarray(t)[:, None] * (end - start))

    positions = found.positions
    assert (np.diff(positions) > 0).all()
    assert ((positions > 0) & (positions < 1)).all()
    # Between two crossings nothing changes, and at each one something does.
    bounds = np.concatenate([[0], positions, [1]])
    wide = np.diff(bounds) > 1e-9
    middles = (bounds[1:] + bounds[:-1]) / 2
    for near in (0.02, 0.98):
        inside = patterns((1 - near) * bounds[:-1] + near * bounds[1:])[wide]
        np.testing.assert_array_equal(inside, patterns(middles[wide]))
    between = patterns(middles)
    changes = between[1:] != between[:-1]
    assert changes[wide[1:] & wide[:-1]].any(axis=1).all()
    ends = between[0] != between[-1]
    for layer in pieces.layers:
        assert found.flips[layer.name] <= found.crossings[layer.name]
        assert (found.crossings[layer.name] - found.flips[layer.name]) % 2 == 0
    if wide.all() and len({layer.name for layer in pieces.layers}) == len(pieces.layers):
        for layer in pieces.layers:
            assert found.crossings[layer.name] == changes[:, layer.bits].sum()
            assert found.flips[layer.name] == ends[layer.bits].sum()


def test_a_fold_is_crossed_twice_by_the_next_layer():
    """| |x| - 1/2 | from -1 to 1: the first unit at 0, the second at -1/2 and 1/2."""
    network = nn.Sequential(
        linear([[1.0]]), nn.LeakyReLU(-1.0), linear([[1.0]], -0.5), nn.LeakyReLU(-1.0)
    )
    found = segment_crossings(network, [-1.0], [1.0])
    np.testing.assert_allclose(found.positions, [0.25, 0.5, 0.75], atol=1e-15)
    assert found.crossings == {"1": 1, "3": 2}
    assert found.flips == {"1": 1, "3": 0}


def test_many_dimensions():
    """One layer of 40 units in 100 dimensions: each unit at most once, where it is zero."""
    network = perceptron(100, 40, 1, seed=1)
    start, end = np.random.default_rng(0).normal(size=(2, 100))
    weight, bias = (tensor.detach().numpy() for tensor in network[0].parameters())
    before, after = weight @ start + bias, weight @ end + bias
    expected = np.sort((before / (before - after))[before * after < 0])
    found = segment_crossings(network, start, end)
    np.testing.assert_allclose(found.positions, expected, atol=1e-13)
    assert found.crossings == found.flips == {"1": len(expected)}
    assert len(expected) > 10


def test_no_crossings():
    assert len(segment_crossings(linear([[1.0, 2.0]]), [0, 0], [1, 1]).positions) == 0


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        ([0.0, 0], [0.0, 0], ("two different points", "[0.0, 0.0] twice")),
        ([0.0, 0], [1.0], ("two points", "(2,) and (1,)")),
        ([0.0, np.nan], [1.0, 0], ("finite",)),
        ([[0.0, 0]], [[1.0, 0]], ("two points", "(1, 2)")),
        ([0.0] * 3, [1.0] * 3, ("2 numbers", "3")),
    ],
)
def test_points_that_do_not_serve(start, end, words):
    with refuses(InputError, *words):
        segment_crossings(perceptron(2, 3, 1), start, end)
