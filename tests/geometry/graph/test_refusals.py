"""What is no piecewise linear function of one input is refused: named, with what to do."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bandlimiter.errors import ConfigurationError
from bandlimiter.geometry.graph import read_graph
from tests.geometry.checks import refuses
from tests.geometry.graph.checks import Written, close, inputs, randomised

LAYERS = {
    "GELU": nn.GELU(),
    "SiLU": nn.SiLU(),
    "Hardswish": nn.Hardswish(),
    "Sigmoid": nn.Sigmoid(),
    "Hardsigmoid": nn.Hardsigmoid(),
    "LayerNorm": nn.LayerNorm((4, 4, 4)),
    "GroupNorm": nn.GroupNorm(2, 4),
    "InstanceNorm2d": nn.InstanceNorm2d(4),
    "LocalResponseNorm": nn.LocalResponseNorm(2),
    "LPPool2d": nn.LPPool2d(2, 2),
    "FractionalMaxPool2d": nn.FractionalMaxPool2d(2, 2),
    "CircularPad2d": nn.CircularPad2d(1),
}


class Within(nn.Module):
    """A layer that has a long name, after some that are read."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.stages = nn.ModuleList([nn.Conv2d(4, 4, 1), nn.Sequential(nn.ReLU(), layer)])

    def forward(self, x):
        for stage in self.stages:
            x = stage(x)
        return x


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_named_with_its_place_and_what_to_do(name):
    with refuses(ConfigurationError, name, "layer stages.1.1", "ReLU6", "in its place"):
        read_graph(randomised(Within(LAYERS[name])), (4, 4, 4))


def test_a_circular_convolution():
    layer = nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular")
    with refuses(ConfigurationError, "Conv2d (layer stages.1.1)", "not circular"):
        read_graph(randomised(Within(layer)), (4, 4, 4))


def test_attention():
    class Attending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

        def forward(self, x):
            return x + self.attention(x, x, x)[0]

    with refuses(ConfigurationError, "MultiheadAttention", "layer attention"):
        read_graph(Attending().eval(), (3, 4))
    with refuses(ConfigurationError, "layer 0.self_attn"):
        read_graph(nn.Sequential(nn.TransformerEncoderLayer(4, 2, 8)).eval(), (3, 4))


def test_a_product_of_what_is_computed_from_the_input():
    """Squeeze and excitation, even without its sigmoid."""

    class Squeezing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 4, 1), nn.ReLU())

        def forward(self, x):
            return x * self.gate(x)

    with refuses(ConfigurationError, "mul (layer stages.1.1.mul)", "two things computed from"):
        read_graph(Within(Squeezing()).eval(), (4, 4, 4))


@pytest.mark.parametrize(
    "layer",
    [nn.Dropout(0.1), nn.Dropout2d(0.1), nn.BatchNorm2d(4)],
    ids=["Dropout", "Dropout2d", "BatchNorm2d"],
)
def test_training(layer):
    module = randomised(Within(layer))
    layer.train()
    with refuses(ConfigurationError, type(layer).__name__, "(stages.1.1)", ".eval()"):
        read_graph(module, (4, 4, 4))


FORWARDS = {
    "random numbers": (lambda x: x + torch.rand(2), "random numbers"),
    "random numbers like it": (lambda x: x + torch.randn_like(x), "random numbers"),
    "a dropout that is always on": (lambda x: F.dropout(x, 0.5), "random numbers"),
    "a sum looked at": (lambda x: x if x.sum() > 0 else -x, "sum"),
    "a number looked at": (lambda x: x if x[0, 0] > 0 else -x, "looks at one of them"),
    "numbers compared": (lambda x: x if (x > 0).any() else -x, "gt"),
    "numbers compared, each": (lambda x: torch.where(x > 0, x, x.exp()), "gt"),
    "a number taken out": (lambda x: x * x[0, 0].item(), "looks at one of them"),
    "numbers taken out": (lambda x: x * x.tolist()[-1][0], "look at numbers"),
    "an array": (lambda x: x * float(x.detach().numpy().sum()), "look at numbers"),
    "a place": (lambda x: x.gather(1, x.argmax(1, keepdim=True)), "argmax"),
    "a place of a maximum": (
        lambda x: x.gather(1, x.max(1, keepdim=True).indices),
        "gather",
    ),
    "whole numbers": (lambda x: x.long() + x, "to_copy"),
    "an average over the batch": (lambda x: x - x.mean(0, keepdim=True), "mixes"),
    "the largest of the batch": (lambda x: x - x.max(0).values, "mixes"),
    "a cat of the batch": (lambda x: torch.cat([x, x]), "mixes"),
    "all in one": (lambda x: x.flatten(), "mixes"),
    "numbers by number in the batch": (
        lambda x: x + torch.arange(len(x))[:, None],
        "differ between inputs",
    ),
    # Two inputs are looked at, of two numbers each: only a third input shows what is an input.
    "an average that looks like one": (lambda x: x - x.mean(0), "mix the inputs"),
    "a batch turned around": (lambda x: x.flip(0), "mix the inputs"),
    "a batch rolled": (lambda x: x.roll(1, 0), "mix the inputs"),
    "an axis before the batch": (lambda x: x + torch.ones(2, 1, 2), "mix the inputs"),
    "two inputs stated": (lambda x: x.view(2, -1), "mix the inputs"),
    "one of two": (lambda x: x[:2], "mix the inputs"),
    "a softmax of the batch": (lambda x: x.softmax(0), "mix the inputs"),
    "a constant alone": (lambda x: torch.ones(len(x), 2), "computed from its input"),
    "nothing": (lambda x: None, "NoneType"),
    "two tensors": (lambda x: (x, 2 * x), "tuple"),
    "a failure": (lambda x: x @ torch.ones(3, 3), "Written (given) failed"),
}


@pytest.mark.parametrize("name", FORWARDS)
def test_forwards(name):
    body, word = FORWARDS[name]
    with refuses(ConfigurationError, word):
        read_graph(Written(body), (2,))


def test_modules_that_cannot_be_copied():
    with refuses(ConfigurationError, "copied", "Written"):
        read_graph(Written(number for number in range(3)), (2,))


@pytest.mark.parametrize("layer", [nn.Softmax(1), nn.LogSoftmax(-1)], ids=["Softmax", "LogSoftmax"])
def test_a_softmax_at_the_end_is_left_off(layer):
    before = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    graph = read_graph(randomised(nn.Sequential(before, layer)), (3,))
    assert graph.left_off == "1"
    x = inputs(4, (3,))
    with torch.no_grad():
        close(graph(x), before(x))


def test_a_softmax_before_the_end():
    module = nn.Sequential(nn.Linear(3, 4), nn.Softmax(1), nn.Linear(4, 2))
    with refuses(ConfigurationError, "Linear (layer 2)", "Softmax (layer 1) before the end"):
        read_graph(module, (3,))


def test_activations_that_jump_or_differ():
    with refuses(ConfigurationError, "continuous Threshold", "1.0 below 0.0"):
        read_graph(nn.Threshold(0.0, 1.0), (3,))
    with refuses(ConfigurationError, "PReLU", "one slope", "3"):
        read_graph(nn.PReLU(3), (3,))
