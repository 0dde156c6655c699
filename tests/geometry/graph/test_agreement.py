"""A graph is held against its module: rounding is let pass, whatever cancels, and nothing else."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bandlimiter.errors import ConfigurationError
from bandlimiter.geometry import read_graph
from bandlimiter.geometry.graph.agreement import agrees
from tests.geometry.checks import refuses
from tests.geometry.graph.checks import Written, inputs, randomised
from tests.geometry.networks import (
    linear,
    one_function_twice,
    perceptron,
    random_weights,
    small_integers,
    stack,
)
from tests.kernels import OtherKernels


def opposite_twins(seed: int) -> nn.Module:
    """Each unit twice, with outgoing weights that cancel but for 1e-13: outputs of 1e-13."""
    rng = np.random.default_rng(seed)
    weight, bias, outgoing = rng.normal(size=(5, 3)), rng.normal(size=5), rng.normal(size=(2, 5))
    last = np.concatenate([outgoing, 1e-13 * rng.normal(size=(2, 5)) - outgoing], axis=1)
    return nn.Sequential(linear(np.tile(weight, (2, 1)), np.tile(bias, 2)), nn.ReLU(), linear(last))


def rounding_alone_goes_on(seed: int) -> nn.Module:
    """Five layers without biases after what cancels: their scale is that of the rounding."""
    deep = perceptron(2, 8, 8, 8, 8, 2, bias=False, seed=seed)
    return nn.Sequential(one_function_twice(seed), deep)


def far_statistics(seed: int) -> nn.Module:
    """A BatchNorm that takes 1e9 off numbers of 1e9."""
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))
    random_weights(network, seed)
    with torch.no_grad():
        network[0].bias += 1e9
        network[1].running_mean += 1e9
    return network


def nearly_integers(seed: int) -> nn.Module:
    """Weights of -1, 0 and 1, moved a little."""
    network = small_integers(stack([3, 5, 4, 2]), seed)
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 1e-13 * torch.from_numpy(rng.normal(size=tuple(parameter.shape)))
    return network


def convolutions(seed: int) -> nn.Module:
    """An image less its own blur, of which only edges are left, less another one's."""
    kernel = torch.randn(4, 3, 3, 3, generator=torch.Generator().manual_seed(seed)).double()

    def forward(x):
        x = x.view(-1, 3, 1, 1).expand(-1, 3, 6, 6)
        first = F.conv2d(x, kernel, padding=1)
        second = F.conv2d(x.flip(1), kernel.flip(1), padding=1)
        return F.avg_pool2d(F.relu(first - second), 6).flatten(1)

    return Written(forward)


def sure_softmax(seed: int) -> nn.Module:
    """Logits of 1e9, whose rounding a softmax makes as large a part of a probability."""
    return nn.Sequential(perceptron(3, 8, 1, seed=seed), linear([[1e9], [1e9]]), nn.Softmax(1))


CANCELLING = [
    opposite_twins,
    one_function_twice,
    rounding_alone_goes_on,
    far_statistics,
    nearly_integers,
    convolutions,
    sure_softmax,
]


@pytest.mark.parametrize("build", CANCELLING)
def test_what_cancels_is_read(build):
    """By kernels of any rounding; and what was read is the module, by the size of its terms."""
    for seed in range(8):
        network = build(seed)
        graph = read_graph(OtherKernels(network, seed=seed), (3,))
        assert len(graph.layers) == len(read_graph(network, (3,)).layers)


def test_constants_for_each_input_that_differ_by_rounding_are_read():
    """As a kernel may round the rows of one product, each in its own way."""
    weight = inputs(3, (5,))

    def forward(x):
        return x + F.linear(torch.ones(len(x), 5, dtype=x.dtype), weight)

    graph = read_graph(OtherKernels(Written(forward)), (3,))
    x = inputs(4, (3,))
    torch.testing.assert_close(graph(x), forward(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [1e-300, 1e-160, 1.0, 1e150])
def test_what_is_close_to_the_ends_of_float64_is_read(size):
    network = nn.Sequential(linear(size * np.ones((2, 3))), nn.ReLU(), linear([[size, -size]]))
    read_graph(OtherKernels(network), (3,))


SIZE = 1e-6
"""Of what is wrong below, relative to the answer: rounding is let pass at some 1e-11."""


def hidden(x: torch.Tensor) -> np.ndarray:
    """The numbers of a tensor where no operation is seen: in NumPy."""
    return x.detach().numpy()


RNG = np.random.default_rng(0)


class Counted(nn.Module):
    """Another answer at each call."""

    calls = 0

    def forward(self, x):
        self.calls += 1
        return x * (1 + SIZE * self.calls)


WRONG = {
    "a look at numbers": Written(lambda x: x * (1 + SIZE * bool(hidden(x).sum() > 0))),
    "a number": Written(lambda x: x + SIZE * float(hidden(x)[-1, 0])),
    "a mean of the batch": Written(lambda x: x - SIZE * torch.from_numpy(hidden(x).mean(0))),
    "a random number": Written(lambda x: x + SIZE * RNG.normal()),
    "how many inputs there are": Written(lambda x: x * (1 + SIZE * len(x))),
    "a call": Counted(),
    "the other inputs": Written(lambda x: x + SIZE * x.flip(0)),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_function_of_one_input_is_refused(name):
    with refuses(ConfigurationError, "fixed function", "mix the inputs of a batch?"):
        read_graph(WRONG[name], (3,))
    with refuses(ConfigurationError, "fixed function"):
        read_graph(OtherKernels(nn.Sequential(linear(np.eye(3)), WRONG[name])), (3,))


@pytest.mark.parametrize("build", [opposite_twins, nearly_integers])
def test_a_wrong_step_is_refused_where_numbers_cancel(build):
    """One weight is off, so little that only the size of what is summed lets it be seen."""
    network = build(0).requires_grad_(False)
    graph = read_graph(network, (3,))
    assert agrees(graph, None, network, (3,))
    last = network[-1]
    for output in range(2):
        other = copy.deepcopy(network)
        other[-1].bias[output] += 1e-6 * last.weight.abs().sum()
        assert not agrees(graph, None, other, (3,))


def test_a_wrong_step_of_a_real_network_is_refused(sample):
    """Twenty layers deep, by a part in 1e6 of one layer's weights."""
    module = copy.deepcopy(sample.module).double()
    graph = read_graph(module, (3, 32, 32))
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    for layer in (layers[0], layers[len(layers) // 2], layers[-1]):
        layer.weight *= 1 + SIZE
        assert not agrees(graph, None, module, (3, 32, 32))
        layer.weight /= 1 + SIZE
    assert agrees(graph, None, module, (3, 32, 32))


def test_networks_of_every_layer_run_by_other_kernels():
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, groups=8),
        nn.MaxPool2d(2),
        nn.Upsample(scale_factor=2, mode="bilinear"),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, 10),
    )
    randomised(network)
    graph = read_graph(OtherKernels(network, roundings=100), (3, 10, 10))
    x = inputs(3, (3, 10, 10))
    with torch.no_grad():
        torch.testing.assert_close(graph(x), network(x), rtol=0, atol=1e-12)
