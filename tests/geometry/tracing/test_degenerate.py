"""Lines on which much happens at once, or nothing, or numbers are zero for a while."""

import numpy as np
import pytest
import torch
from torch import nn

from bandlimiter.geometry.tracing import count_flips, piece_around, trace_line
from tests.geometry.networks import linear, perceptron, small_integers
from tests.geometry.tracing.checks import (
    affine_between,
    holds,
    nothing_between,
    on_thresholds,
    returns_outputs,
    they_alone_flip,
)
from tests.geometry.tracing.networks import bent, network_of, randomised, two_images
from tests.geometry.tracing.watching import Watched


def unbiased(*parts: nn.Module) -> nn.Module:
    network = randomised(nn.Sequential(*parts), seed=4)
    for layer in network.modules():
        if getattr(layer, "bias", None) is not None:
            nn.init.zeros_(layer.bias)
    return network


@pytest.mark.parametrize("memory", [512, 1e-9])
@pytest.mark.parametrize("start", ["relu", "max"])
def test_everything_changes_at_the_origin(start, memory):
    """A network without biases has one pattern on each side of the origin."""
    first = nn.ReLU() if start == "relu" else nn.MaxPool2d(3, stride=1)
    network = unbiased(
        nn.Conv2d(2, 3, 3),
        first,
        nn.Conv2d(3, 3, 2),
        nn.LeakyReLU(0.1),
        nn.Flatten(),
        nn.Linear(48 if start == "relu" else 12, 2),
    )
    x, _ = two_images(4)
    trace = trace_line(network, -x, x, memory=memory)
    assert set(trace.t) == {0.5}
    flips = {name: int(count) for name, count in count_flips(network, -x[None], x[None]).items()}
    assert trace.crossings == flips
    assert len(trace) > 20
    assert len(set(zip(trace.layer, trace.unit, strict=True))) == len(trace)
    holds(trace, Watched(network, -x, x), scanned=100)


def test_duplicate_channels_change_together():
    network = network_of("relu", "max", seed=5)
    conv, norm = network[0], network[1]
    for tensor in (
        conv.weight,
        conv.bias,
        norm.weight,
        norm.bias,
        norm.running_mean,
        norm.running_var,
    ):
        tensor[2] = tensor[0]
    hidden, norm, _ = network[2]
    for tensor in (hidden.weight, norm.weight, norm.bias, norm.running_mean, norm.running_var):
        tensor[1] = tensor[0]
    start, end = two_images(5)
    trace = trace_line(network, start, end)
    for name in ("2.2", "3"):
        channel, place = np.divmod(trace.unit, np.prod(trace.shapes[name][1:]))
        rows = [np.flatnonzero((trace.layer == name) & (channel == c)) for c in (0, 1)]
        assert len(rows[0]) > 5
        np.testing.assert_array_equal(place[rows[0]], place[rows[1]])
        # The same products, summed in another order perhaps.
        np.testing.assert_allclose(trace.t[rows[0]], trace.t[rows[1]], rtol=0, atol=1e-14)


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.LeakyReLU(0.1), nn.ReLU6()])
def test_units_that_are_zero_all_along(activation):
    """BatchNorm with weight and bias zero in one channel: not one of its units ever changes."""
    network = randomised(nn.Sequential(nn.Conv2d(2, 3, 3), bent(3, activation)), seed=6)
    network[1][1].weight[1], network[1][1].bias[1] = 0.0, 0.0
    start, end = two_images(6)
    trace = trace_line(network, start, end)
    channel = trace.unit // np.prod(trace.shapes["1.2"][1:])
    assert set(channel) == {0, 2}
    assert torch.isfinite(piece_around(network, start[None], (end - start)[None]).length).all()


class Cancelling(nn.Module):
    """Numbers that are zero on paper, and different roundings of zero at every input."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = perceptron(4, 4)[0], perceptron(4, 4, seed=1)[0]
        self.requires_grad_(False)
        self.both = linear(self.second.weight @ self.first.weight)
        self.both.bias.data = self.second.bias + self.second.weight @ self.first.bias
        self.bend, self.largest = nn.ReLU(), nn.MaxPool1d(2)

    def forward(self, x):
        once, again = self.both(x), self.second(self.first(x))
        pairs = self.largest(torch.stack([once, again], dim=2).flatten(1)[:, None])
        return torch.cat([pairs[:, 0], self.bend(torch.cat([once - again, x], dim=1))], dim=1)


def test_roundings_of_zero_are_no_changes():
    network = Cancelling()
    ends = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 50, 4)))
    noise = network.both(ends[0]) - network.second(network.first(ends[0]))
    assert 0 < noise.abs().max() < 1e-14
    flips = count_flips(network, *ends)
    assert (flips["largest"] == 0).all()
    assert (flips["bend"] == ((ends[0] > 0) != (ends[1] > 0)).sum(dim=1)).all()
    zeros = (ends[0] / (ends[0] - ends[1])).numpy()
    reach = piece_around(network, ends[0], ends[1] - ends[0])
    for start, end, where, after in zip(*ends, zeros, reach.after, strict=True):
        trace = trace_line(network, start, end)
        expected = np.sort(where[(where > 0) & (where < 1)])
        # Quotients of the same numbers; interpolation rounds once more.
        np.testing.assert_allclose(trace.t, expected, rtol=0, atol=1e-15)
        assert float(after) == pytest.approx(min(where[where > 0], default=np.inf), rel=1e-14)


def test_zero_while_the_layer_before_is_off():
    """Units that read an unbiased sum of dead ReLUs: they wake with the first of these."""
    network = nn.Sequential(linear([[1.0]], -0.5), nn.ReLU(), linear([[2.0], [-3.0]]), nn.ReLU())
    for ends in ([0.0, 1.0], [1.0, 0.0], [-7.0, 8.0]):
        trace = trace_line(network, ends[:1], ends[1:])
        assert trace.t.tolist() == [0.5, 0.5]
        assert list(zip(trace.layer, trace.unit, strict=True)) == [("1", 0), ("3", 0)]


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (0.0, 1.0, {"1": [], "3": [0.5]}),  # on a threshold at the start: no change
        (-0.5, 0.0, {"1": [], "3": []}),  # from one threshold to another
        (-1.0, 1.0, {"1": [0.5], "3": [0.25, 0.75]}),
        (-0.5, 0.5, {"1": [0.5], "3": []}),
        (0.25, 0.75, {"1": [], "3": [0.5]}),
        (0.6, 0.9, {"1": [], "3": []}),
    ],
)
def test_thresholds_at_the_ends(start, end, expected):
    """| |x| - 1/2 |, as the absolute value of one layer minus a half, and of another."""
    network = nn.Sequential(
        linear([[1.0]]), nn.LeakyReLU(-1.0), linear([[1.0]], -0.5), nn.LeakyReLU(-1.0)
    )
    for memory in (512, 1e-9):
        trace = trace_line(network, [start], [end], memory=memory)
        assert {name: trace.t[trace.layer == name].tolist() for name in expected} == expected
        assert trace.outputs[[0, -1], 0].tolist() == [abs(abs(x) - 0.5) for x in (start, end)]


@pytest.mark.parametrize(
    ("bias", "expected"),
    [(0.0, []), (2**-20, [2**-20, -(2**-20)])],
)
def test_touching_a_threshold_is_not_crossing_it(bias, expected):
    """-|x| reaches zero where the absolute value has its own breakpoint, and goes back."""
    network = nn.Sequential(linear([[1.0]]), nn.LeakyReLU(-1.0), linear([[-1.0]], bias), nn.ReLU())
    trace = trace_line(network, [-1.0], [1.0])
    found = np.sort(1 - 2 * trace.t[trace.layer == "3"])
    assert found.tolist() == sorted(expected)
    assert trace.crossings["1"] == 1


@pytest.mark.parametrize("seed", range(40))
def test_small_integers(seed):
    """Weights -1, 0 and 1: coinciding hyperplanes, dead units, thresholds at corners."""
    network = small_integers(
        nn.Sequential(
            nn.Linear(3, 6), nn.ReLU(), nn.Unflatten(1, (1, 6)), nn.MaxPool1d(3, 1),
            nn.Flatten(), nn.Linear(4, 5), nn.Hardtanh(-1, 1), nn.Linear(5, 2),
        ),
        seed,
    )  # fmt: skip
    rng = np.random.default_rng(seed)
    start, end = torch.from_numpy(rng.permutation(np.arange(-6.0, 6.0)).reshape(4, 3)[:2])
    trace = trace_line(network, start, end)
    line = Watched(network, start, end)
    for holds_true in (on_thresholds, they_alone_flip, affine_between, returns_outputs):
        holds_true(trace, line)
    nothing_between(trace, line, 1000)
    finest = trace_line(network, start, end, memory=1e-9)
    np.testing.assert_allclose(finest.t, trace.t, rtol=0, atol=1e-14)
    assert finest.crossings == trace.crossings


def test_a_line_along_which_nothing_changes():
    start, end = two_images(7)
    network = network_of("relu", "max", seed=7)
    for parameter in network[2][1].parameters():
        nn.init.constant_(parameter, 1e-3)  # next to a bias of 1e-3
    with torch.no_grad():
        near = start + 1e-12 * (end - start)
    trace = trace_line(network, start, near)
    assert set(trace.crossings.values()) == {0}
    assert trace.outputs.shape == (2, 3)


def test_an_affine_network_has_no_layers():
    network = nn.Sequential(nn.Conv2d(2, 1, 3), nn.AvgPool2d(2), nn.Flatten()).double()
    trace = trace_line(network, *two_images(0))
    assert (len(trace), trace.crossings, trace.outputs.shape) == (0, {}, (2, 4))
    piece = piece_around(network, *(image[None] for image in two_images(0)))
    assert piece.length.tolist() == [np.inf]
    assert count_flips(network, *(image[None] for image in two_images(0))) == {}
