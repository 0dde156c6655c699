"""Seeded random networks in float64, with every kind of layer that can be read."""

import copy
import itertools
from collections.abc import Sequence

import numpy as np
import torch
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

ACTIVATIONS = {
    "relu": nn.ReLU,
    "leaky": lambda: nn.LeakyReLU(0.3),
    "absolute": lambda: nn.LeakyReLU(-1.0),
    "hardtanh": lambda: nn.Hardtanh(-0.7, 0.9),
    "relu6": nn.ReLU6,
}
WIDEST = {1: 6, 2: 5, 3: 4, 4: 3}
"""Layers of random networks by the number of inputs, so that each has a few hundred regions."""


class Residual(nn.Module):
    """A sum past a hidden layer, made of modules."""

    def __init__(self, width: int, bias: bool = True, inplace: bool = False) -> None:
        super().__init__()
        self.enter = nn.Linear(width, 2, bias=bias)
        self.bend = nn.ReLU(inplace)
        self.leave = nn.Linear(2, width, bias=bias)

    def forward(self, x):
        return x + self.leave(self.bend(self.enter(x)))


class Functional(nn.Module):
    """The functional forms and methods, without a module for any activation."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(width, 3), nn.Linear(3, width)

    def forward(self, x):
        h = F.leaky_relu(self.first(torch.flatten(x, 1)), negative_slope=0.1)
        h = torch.add(F.hardtanh(h, -0.5, max_val=0.8), h)
        y = self.second(h)
        y += x.relu()
        return F.relu6(y.add(F.relu(y, inplace=False)))


def linear(weight, bias=0.0) -> nn.Linear:
    """A layer of given numbers; one bias for all units or one each."""
    weight = torch.as_tensor(np.asarray(weight), dtype=torch.float64)
    layer = nn.Linear(*weight.shape[::-1]).double()
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(torch.as_tensor(np.asarray(bias), dtype=torch.float64))
    return layer


def hyperplanes(normals, offsets) -> nn.Sequential:
    """One hidden layer that bends where ``normals @ x = offsets``, and two outputs."""
    normals = np.asarray(normals, dtype=float)
    outgoing = np.random.default_rng(len(normals)).normal(size=(2, len(normals)))
    return nn.Sequential(linear(normals, -np.asarray(offsets)), nn.ReLU(), linear(outgoing))


def random_weights(network: nn.Module, seed: int) -> nn.Module:
    """Set all weights and statistics, so that numbers stay of order one; float64, in eval mode."""
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.from_numpy(rng.normal(size=shape))

    network.double()
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.Linear):
                layer.weight.copy_(draw(*layer.weight.shape) * (2 / layer.in_features) ** 0.5)
            if isinstance(layer, nn.BatchNorm1d):
                if layer.affine:
                    layer.weight.copy_(draw(layer.num_features) + 1)
                layer.running_mean.copy_(draw(layer.num_features) / 2)
                layer.running_var.copy_(draw(layer.num_features).exp())
            if isinstance(layer, nn.Linear | nn.BatchNorm1d) and layer.bias is not None:
                layer.bias.copy_(draw(len(layer.bias)) / 2)
    return network.eval()


def small_integers(network: nn.Module, seed: int) -> nn.Module:
    """Set all weights and biases to -1, 0 or 1: hyperplanes coincide and vertices meet."""
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for parameter in network.double().parameters():
            parameter.copy_(torch.from_numpy(rng.integers(-1, 2, parameter.shape)))
    return network.eval()


def stack(widths: Sequence[int], activation: str = "relu", bias: bool = True) -> nn.Sequential:
    """Linear layers with an activation between each two."""
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(widths):
        layers += [nn.Linear(inputs, outputs, bias=bias), ACTIVATIONS[activation]()]
    return nn.Sequential(*layers[:-1])


def perceptron(
    *widths: int, activation: str = "relu", bias: bool = True, seed: int = 0
) -> nn.Sequential:
    """A random `stack`."""
    return random_weights(stack(widths, activation, bias), seed)


class Difference(nn.Module):
    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x):
        return self.first(x) - self.second(x)


def reordered(network: nn.Sequential, seed: int) -> nn.Sequential:
    """The same function with each hidden layer's units in another order: all sums are too.

    Of a `stack` of Linear layers and activations.
    """
    rng = np.random.default_rng(seed)
    network = copy.deepcopy(network)
    layers = [layer for layer in network if isinstance(layer, nn.Linear)]
    with torch.no_grad():
        for before, after in itertools.pairwise(layers):
            order = torch.from_numpy(rng.permutation(before.out_features))
            before.weight.copy_(before.weight[order])
            if before.bias is not None:
                before.bias.copy_(before.bias[order])
            after.weight.copy_(after.weight[:, order])
    return network


def one_function_twice(seed: int, dim: int = 3, width: int = 30) -> nn.Module:
    """f(x) - f(x), the second time in another order: nothing on paper, and rounding."""
    network = perceptron(dim, width, width, 2, seed=seed)
    return Difference(network, reordered(network, seed))


def every_kind(dim: int, seed: int) -> nn.Sequential:
    """One network with all the layers there are; each bends within a few units of the origin."""
    network = nn.Sequential(
        nn.Flatten(),
        nn.Linear(dim, 4),
        nn.BatchNorm1d(4),
        nn.LeakyReLU(0.2),
        Residual(4),
        nn.Dropout(0.5),
        nn.Linear(4, 3, bias=False),
        nn.BatchNorm1d(3, affine=False),
        nn.Hardtanh(-0.7, 0.9),
        nn.Sequential(Functional(3), nn.Identity()),
        nn.Linear(3, 3),
        nn.ReLU6(),
        nn.Linear(3, 2),
    )
    random_weights(network, seed)
    with torch.no_grad():
        network[-3].weight *= 5  # so that some numbers exceed the ReLU6's upper threshold
    return network


@st.composite
def networks(draw, dim: int, bias: bool | None = None) -> nn.Sequential:
    """Random networks of one to three hidden layers of every kind, with or without biases."""
    bias = draw(st.booleans()) if bias is None else bias
    kinds = sorted(ACTIVATIONS) if bias else ["absolute", "leaky", "relu"]
    layers: list[nn.Module] = []
    width = dim
    for _ in range(draw(st.integers(1, 3))):
        units = draw(st.integers(1, WIDEST[dim]))
        layers.append(nn.Linear(width, units, bias=bias))
        if bias and draw(st.booleans()):
            layers.append(nn.BatchNorm1d(units))
        layers.append(ACTIVATIONS[draw(st.sampled_from(kinds))]())
        extra = draw(st.sampled_from(["none", "dropout", "residual", "functional"]))
        if extra == "dropout":
            layers.append(nn.Dropout(0.5))
        if extra == "residual":
            layers.append(Residual(units, bias))
        if extra == "functional" and bias and dim < 4:  # nine hyperplanes more
            layers.append(Functional(units))
        width = units
    layers.append(nn.Linear(width, 2, bias=bias))
    return random_weights(nn.Sequential(*layers), draw(st.integers(0, 2**32 - 1)))


def evaluate(network: nn.Module, points) -> np.ndarray:
    """The torch network itself: [N, n] -> [N, m]."""
    with torch.no_grad():
        # A copy: networks may change their input in place.
        return network(torch.tensor(np.asarray(points), dtype=torch.float64)).numpy()
