"""Small things to harden: two classes that noise mixes up, and networks of every kind of layer."""

import math

import pytest
import torch
from torch import nn

from bandlimiter.errors import BandlimiterError, ConfigurationError
from bandlimiter.hardening import Hardened, harden

SIGMA = 0.1
ROBUST, FRAGILE = 0.3, 0.01
"""Half the distance between the classes in each coordinate: 3 sigma, and a tenth of one."""


def two_classes(count, seed):
    """Points [count, 2] in [0, 1] whose first number keeps its side under noise, and labels."""
    labels = torch.randint(0, 2, (count,), generator=torch.Generator().manual_seed(seed))
    side = 2.0 * labels - 1
    return torch.stack([0.5 + ROBUST * side, 0.5 + FRAGILE * side], dim=1), labels


def fragile():
    """A linear network that is right on all clean points, by the number that noise drowns."""
    network = nn.Linear(2, 2)
    with torch.no_grad():
        network.weight.copy_(torch.tensor([[0.0, -2.0], [0.0, 2.0]]))
        network.bias.copy_(torch.tensor([1.0, -1.0]))
    return network.eval()


def normal_cdf(z):
    return (1 + math.erf(z / math.sqrt(2))) / 2


def pictures(count, seed=0, size=6, channels=3):
    """Random images [count, channels, size, size] and labels of three classes."""
    stream = torch.Generator().manual_seed(seed)
    x = torch.rand(count, channels, size, size, generator=stream)
    return x, torch.arange(count) % 3


def convolutional(seed=0, size=6):
    """Convolution, BatchNorm, dropout and a last layer, to three classes."""
    torch.manual_seed(seed)
    first = (nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
    rest = (nn.Dropout(0.3), nn.Flatten(), nn.Linear(4 * size * size, 3))
    return nn.Sequential(*first, *rest).eval()


def briefly(model, data, **settings) -> Hardened:
    """Harden for two epochs of a few steps, without a compiler."""
    usual = {"sigma": SIGMA, "batch": 8, "compiled": False}
    length = {} if "minutes" in settings else {"epochs": 2}
    return harden(model, data, **{**usual, **length, **settings})


def same_weights(one, other):
    """Whether two networks have the same parameters and buffers, to the bit."""
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(
        torch.equal(value, second[name]) for name, value in first.items()
    )


def is_one_line(error):
    return bool(str(error)) and "\n" not in str(error)


def refused(*given, kind=ConfigurationError, **settings):
    """What `harden` says, in one line, of what it refuses."""
    with pytest.raises(kind, match="expected|cannot") as caught:
        briefly(*given, **settings)
    assert isinstance(caught.value, BandlimiterError)
    assert is_one_line(caught.value)
    return str(caught.value)


def lasting(history):
    """A history without what no two runs share."""
    return [{name: value for name, value in row.items() if name != "seconds"} for row in history]


def killed_at(step):
    """A ``progress`` that ends a run after a step, when its state may be on disk."""

    def progress(done, total, what):
        if done == step:
            raise KeyboardInterrupt

    return progress
