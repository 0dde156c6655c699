"""Small networks in float64 to transform: some plain, some with everything that may go wrong."""

import copy
import math

import numpy as np
import torch
from torch import nn

from bandlimiter.models import build_perceptron


def perceptron(*widths: int, bias: bool = True, activation: str = "relu", seed: int = 0):
    """A network whose outputs stay of order one through the layers, and bend as much.

    PyTorch's own law has a variance of 1/3 an input; ReLUs keep the scale at 2 (He et al.).
    """
    network = build_perceptron(
        widths, bias=bias, activation=activation, seed=seed, dtype=torch.float64
    )
    with torch.no_grad():
        for parameter in network.parameters():
            parameter *= math.sqrt(6)
    return network


class Residual(nn.Module):
    """A sum past a hidden layer."""

    def __init__(self, dim: int, seed: int) -> None:
        super().__init__()
        self.first = perceptron(dim, 6, seed=seed)
        self.second = perceptron(6, 5, 6, seed=seed + 1)
        self.last = perceptron(6, 2, seed=seed + 2)
        self.bend = nn.ReLU()

    def forward(self, x):
        h = self.bend(self.first(x))
        return self.last(self.bend(h + self.second(h)))


def moved(network: nn.Sequential, matrix, shift) -> nn.Sequential:
    """The network x -> f(matrix @ x + shift), by its first layer."""
    network = copy.deepcopy(network)
    matrix, shift = torch.as_tensor(matrix).double(), torch.as_tensor(shift).double()
    first = network[0]
    with torch.no_grad():
        bias = first.weight @ shift
        if first.bias is not None:
            bias = bias + first.bias
        weight = first.weight @ matrix
    network[0] = nn.Linear(*weight.shape[::-1]).double()
    with torch.no_grad():
        network[0].weight.copy_(weight)
        network[0].bias.copy_(bias)
    return network


def evaluate(network: nn.Module, points: np.ndarray) -> np.ndarray:
    """The torch network itself: [N, n] -> [N, m]."""
    with torch.no_grad():
        return network(torch.from_numpy(np.ascontiguousarray(points))).numpy()


def frequencies(count: int, dim: int, low: float, high: float, seed: int = 0) -> np.ndarray:
    """Row vectors in all directions, of lengths spread evenly from low to high."""
    rows = np.random.default_rng([seed, dim]).normal(size=(count, dim))
    lengths = np.linspace(low, high, count)[:, None]
    return rows / np.linalg.norm(rows, axis=1, keepdims=True) * lengths


def worst(found, expected, inputs) -> tuple[float, str]:
    """The largest error along the first axis, and a sentence that says at which input."""
    errors = np.abs(np.asarray(found) - expected)
    errors = errors.reshape(len(errors), -1).max(axis=1)
    if np.isnan(errors).any():
        return float("nan"), f"NaN at {np.asarray(inputs)[np.isnan(errors)][0]!r}"
    where = errors.argmax()
    return float(errors[where]), f"error {errors[where]:.2e} at {np.asarray(inputs)[where]!r}"
