"""Units that differ between two points, against the layers' own inputs."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bandlimiter.geometry.tracing import count_flips
from tests.geometry.networks import linear
from tests.geometry.tracing.networks import network_of, networks, two_images
from tests.geometry.tracing.watching import Watched


@settings(max_examples=30, deadline=None)
@given(network=networks(), seed=st.integers(0, 2**32 - 1), pairs=st.integers(1, 9))
def test_states_by_hooks(network, seed, pairs):
    ends = torch.stack([two_images(seed + i) for i in range(pairs)])
    counts = count_flips(network, *ends.unbind(1))
    for i, (a, b) in enumerate(ends):
        line = Watched(network, a, b)
        _, numbers = line.at([0, 1])
        assert list(counts) == list(numbers)
        for name, given_ in numbers.items():
            first, last = line.states(name, given_).chunk(2)
            assert int(counts[name][i]) == int(line.changes(name, first, last).sum())
    for memory in (1e-9, 0.1):
        parts = count_flips(network, *ends.unbind(1), memory=memory)
        assert {name: c.tolist() for name, c in parts.items()} == {
            name: c.tolist() for name, c in counts.items()
        }


def test_both_thresholds_count():
    network = nn.Sequential(linear([[1.0]]), nn.ReLU6())
    a = torch.tensor([[-1.0], [-1.0], [1.0], [7.0]])
    b = torch.tensor([[1.0], [7.0], [5.0], [-7.0]])
    assert count_flips(network, a, b)["1"].tolist() == [1, 2, 0, 2]


@pytest.mark.parametrize(
    ("a", "b", "flips"),
    [
        ([[3.0, 1, 2]], [[9.0, 8, 7]], 0),
        ([[3.0, 1, 2]], [[1.0, 3, 2]], 1),
        ([[3.0, 3, 2]], [[1.0, 3, 2]], 0),  # a tie shares its winner
        ([[0.0, 0, 0]], [[1.0, 3, 2]], 0),
        ([[3.0, 3, 2]], [[1.0, 2, 3]], 1),
    ],
)
def test_windows(a, b, flips):
    ends = (torch.tensor([x]) for x in (a, b))
    assert count_flips(nn.MaxPool1d(3), *ends)[""].tolist() == [flips]


def test_scales_are_each_pairs_own():
    """A huge pair in the batch does not drown a small one's flips in its tolerance."""
    network = network_of("relu", seed=11)
    for layer in network.modules():
        if getattr(layer, "bias", None) is not None:
            nn.init.zeros_(layer.bias)
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.zeros_(layer.running_mean)
    a, b = two_images(11)
    small, large = 1e-30, 1e30  # without biases all signs stay
    counts = count_flips(
        network, torch.stack([small * a, large * a]), torch.stack([small * b, large * b])
    )
    assert all(len(set(c.tolist())) == 1 for c in counts.values())
    assert int(counts["2.2"][0]) > 5
