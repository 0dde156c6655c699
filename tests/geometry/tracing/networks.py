"""Small seeded networks made of modules, so that hooks can watch every layer that bends."""

import math

import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from torch import nn

from bandlimiter.tensors import generator

SHAPE = (2, 7, 7)
"""Of the images that the networks take: odd, so that windows overhang."""


class Clamp(nn.Module):
    """Numbers held on one side."""

    def __init__(self, low: float | None = None, high: float | None = None) -> None:
        super().__init__()
        self.low, self.high = low, high

    def forward(self, x):
        return torch.clamp(x, self.low, self.high)


class Residual(nn.Module):
    """A sum past a hidden layer; one ReLU, in place, serves twice as in torchvision's ResNets."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.enter, self.norm, self.leave = hidden(channels), norm(channels), hidden(channels)
        self.bend = nn.ReLU(inplace=True)

    def forward(self, x):
        return self.bend(x + self.leave(self.bend(self.norm(self.enter(x)))))


class Joined(nn.Module):
    """A hidden layer's result beside its input, as in DenseNets."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.enter, self.bend = nn.Conv2d(channels, 1, 3, padding=1), nn.ReLU()

    def forward(self, x):
        return torch.cat([x, self.bend(self.enter(x))], dim=1)


class Shortcut(nn.Module):
    """Half the size by slicing, more channels by padding with zeros, as in CIFAR's ResNets."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.enter, self.bend = nn.Conv2d(channels, channels + 2, 3, 2, padding=1), nn.ReLU()

    def forward(self, x):
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 1, 1)) + self.bend(self.enter(x))


def hidden(channels: int) -> nn.Module:
    return nn.Conv2d(channels, channels, 3, padding=1, bias=False)


def norm(channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels)


def bent(channels: int, activation: nn.Module) -> nn.Module:
    return nn.Sequential(hidden(channels), norm(channels), activation)


BLOCKS = {
    "relu": lambda c: bent(c, nn.ReLU()),
    "leaky": lambda c: bent(c, nn.LeakyReLU(0.2)),
    "relu6": lambda c: bent(c, nn.ReLU6()),
    "hardtanh": lambda c: bent(c, nn.Hardtanh(-0.6, 0.9)),
    "clamp below": lambda c: bent(c, Clamp(low=-0.4)),
    "clamp above": lambda c: bent(c, Clamp(high=0.3)),
    "max": lambda c: nn.MaxPool2d(2),
    "max overlapping": lambda c: nn.MaxPool2d(3, stride=2, padding=1),
    "max ceil": lambda c: nn.MaxPool2d(2, ceil_mode=True),
    "max dilated": lambda c: nn.MaxPool2d(2, stride=1, dilation=2),
    "max adaptive": lambda c: nn.AdaptiveMaxPool2d(3),
    "average": lambda c: nn.AvgPool2d(3, stride=2, padding=1, ceil_mode=True),
    "average adaptive": lambda c: nn.AdaptiveAvgPool2d((3, 4)),
    "residual": Residual,
    "joined": Joined,
    "shortcut": Shortcut,
    "padded": lambda c: nn.Sequential(nn.ConstantPad2d((1, 0, 0, 1), 0.5), hidden(c)),
    "dropout": lambda c: nn.Dropout(),
}
"""What random networks consist of: a number of channels -> a module."""


def network_of(*kinds: str, seed: int = 0) -> nn.Sequential:
    """A convolution, the blocks that are named (as long as they fit), and a perceptron."""
    parts: list[nn.Module] = [nn.Conv2d(SHAPE[0], 3, 3, padding=1), nn.BatchNorm2d(3)]
    x = nn.Sequential(*parts)(torch.zeros(2, *SHAPE))
    for kind in kinds:
        if min(x.shape[2:]) < 3:
            break
        parts.append(BLOCKS[kind](x.shape[1]))
        x = parts[-1](x)
    parts += [nn.Flatten(), nn.Linear(math.prod(x.shape[1:]), 5), nn.ReLU(), nn.Linear(5, 3)]
    return randomised(nn.Sequential(*parts), seed)


def randomised(network: nn.Module, seed: int) -> nn.Module:
    """Draw all weights and statistics; numbers stay of order one; float64, in eval mode."""
    stream = generator(seed, "network")

    def draw(tensor: torch.Tensor) -> torch.Tensor:
        return torch.randn(tensor.shape, generator=stream, dtype=torch.float64)

    network.double().requires_grad_(False)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.weight.copy_(draw(layer.weight) + 1)
            layer.running_mean.copy_(draw(layer.running_mean) / 2)
            layer.running_var.copy_(draw(layer.running_var).exp())
        elif isinstance(layer, nn.Conv2d | nn.Linear):
            layer.weight.copy_(draw(layer.weight) * (2 / layer.weight[0].numel()) ** 0.5)
        if getattr(layer, "bias", None) is not None:
            layer.bias.copy_(draw(layer.bias) / 2)
    return network.eval()


def two_images(seed: int, shape: tuple[int, ...] = SHAPE) -> torch.Tensor:
    """The ends of a line: [2, ...]."""
    stream = generator(seed, "line")
    return torch.randn(2, *shape, generator=stream, dtype=torch.float64)


@st.composite
def networks(draw) -> nn.Sequential:
    """Random networks of one to four blocks."""
    kinds = draw(st.lists(st.sampled_from(sorted(BLOCKS)), min_size=1, max_size=4))
    return network_of(*kinds, seed=draw(st.integers(0, 2**32 - 1)))
