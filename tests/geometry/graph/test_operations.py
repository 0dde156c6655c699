"""Functions and methods in a forward of one's own are read as what they are."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bandlimiter.geometry.graph import MaxStep, read_graph
from tests.geometry.graph.checks import Written, close, inputs, is_read

WEIGHTS = torch.linspace(-1, 2, 24, dtype=torch.float64).view(2, 3, 4)

AFFINE = {
    "a factor": lambda x: x * 3,
    "a factor before": lambda x: 3 * x,
    "a weight each": lambda x: x * WEIGHTS,
    "a weight each channel": lambda x: WEIGHTS[:, :1, :1] * x,
    "a quotient": lambda x: x / 7,
    "by a weight each": lambda x: x / (WEIGHTS + 3),
    "- c": lambda x: x - 0.7,
    "c -": lambda x: 0.7 - x,
    "+ c": lambda x: x + 0.7,
    "c +": lambda x: 0.7 + x,
    "+ an integer": lambda x: x + 2,
    "+ a tensor of one number": lambda x: x + torch.tensor(0.5),
    "tensor -": lambda x: WEIGHTS - x,
    "- tensor": lambda x: x - WEIGHTS,
    "-": lambda x: -x,
    "+ itself, weighted": lambda x: torch.add(x, 2 * x + 1, alpha=3),
    "- itself, weighted": lambda x: torch.sub(x, 2 * x + 1, alpha=3),
    "+ tensor, weighted": lambda x: torch.add(x, WEIGHTS, alpha=3),
    "+ c, weighted": lambda x: torch.add(x, 0.5, alpha=3),
    "tensor -, weighted": lambda x: torch.sub(WEIGHTS, x, alpha=3),
    "rsub": lambda x: torch.rsub(x, 0.5, alpha=3),
    "in place": lambda x: (x * 1).add_(1).mul_(2).sub_(0.5).div_(3).neg_(),
    "cat": lambda x: torch.cat([x, WEIGHTS.expand(len(x), -1, -1, -1), 2 * x], 1),
    "cat, last axis": lambda x: torch.cat([x, x[..., :1]], -1),
    "cat, zeros for each": lambda x: torch.cat([x, torch.zeros(x.size(0), 1, 3, 4)], 1),
    "cat, ones like it": lambda x: torch.cat([x, torch.ones_like(x)], 1),
    "+ ones for each": lambda x: x + torch.ones(x.size(0), 1, 1, 1),
    "stack": lambda x: torch.stack([x, 2 * x, x + 1], 2),
    "split": lambda x: (lambda a, b: torch.cat([b, a], 2))(*x.split([1, 2], 2)),
    "chunk": lambda x: (lambda a, b: a - 2 * b)(*x.chunk(2, 3)),
    "unbind": lambda x: (lambda a, b: a - 2 * b)(*x.unbind(1)),
    "slice": lambda x: x[:, :, ::2, 1:3],
    "slice backwards": lambda x: x[..., -2:],
    "select": lambda x: x[:, 1, -1],
    "index": lambda x: x[:, :, [2, 0, 0]],
    "index pairs": lambda x: x[:, [0, 1, 1], [2, 0, 1]],
    "a mask": lambda x: x[:, :, torch.tensor([True, False, True])],
    "index_select": lambda x: torch.index_select(x, 3, torch.tensor([3, 1])),
    "new axis": lambda x: x[:, None, ..., None],
    "flip": lambda x: x.flip(1, 3),
    "roll": lambda x: x.roll((1, 2), (2, 3)),
    "permute": lambda x: x.permute(0, 3, 1, 2),
    "transpose": lambda x: x.transpose(1, -1),
    "movedim": lambda x: x.movedim(1, 3),
    "mT": lambda x: x.mT,
    "view": lambda x: x.view(x.size(0), -1),
    "view of a permutation": lambda x: x.permute(0, 2, 3, 1).reshape(-1, 24),
    "view without a batch": lambda x: x.view(-1, 6, 4),
    "flatten": lambda x: x.flatten(2),
    "contiguous": lambda x: x.transpose(1, 2).contiguous().view(len(x), -1),
    "squeeze": lambda x: x[:, :1].squeeze(1),
    "squeeze two": lambda x: x[:, :1, :1].squeeze((1, 2)),
    "unsqueeze": lambda x: x.unsqueeze(-1).unsqueeze(1),
    "expand": lambda x: x[:, :1].expand(-1, 5, -1, -1),
    "expand_as": lambda x: x[:, :1].expand_as(x) + x,
    "broadcast": lambda x: x + x.sum(1, keepdim=True),
    "repeat": lambda x: x.repeat(1, 2, 1, 3),
    "mean": lambda x: x.mean((2, 3)),
    "mean, kept": lambda x: x.mean(1, keepdim=True) - x,
    "sum": lambda x: x.sum((1, -1)),
    "sum, kept": lambda x: x.sum(-1, keepdim=True),
    "one number": lambda x: x.sum((1, 2, 3)),
    "pad": lambda x: F.pad(x, (1, 2, 0, 1)),
    "pad channels": lambda x: F.pad(x, (0, 0, 0, 0, 3, 3), "constant", 0.5),
    "pad, reflecting": lambda x: F.pad(x, (1, 2, 0, 1), mode="reflect"),
    "pad, replicating": lambda x: F.pad(x, (1, 2, 0, 1), mode="replicate"),
    "a matrix": lambda x: x.flatten(1) @ WEIGHTS.view(24, 1),
    "a vector": lambda x: x.flatten(1) @ WEIGHTS.view(24),
    "a convolution": lambda x: F.conv2d(x, WEIGHTS[None], WEIGHTS[0, 0, :1], padding=1),
    "clone": lambda x: x.clone().detach() + x,
    "a type": lambda x: x.to(torch.float64),
}


@pytest.mark.parametrize("name", AFFINE)
def test_affine(name):
    graph = is_read(Written(AFFINE[name]), (2, 3, 4))
    assert not graph.layers


BENDING = {
    "relu": (F.relu, [0]),
    "relu_": (lambda x: torch.relu_(x + 1), [0]),
    "leaky_relu": (lambda x: F.leaky_relu(x, -0.5), [0]),
    "abs": (lambda x: x.abs(), [0]),
    "hardtanh": (lambda x: F.hardtanh(x, -0.5, 0.7), [-0.5, 0.7]),
    "clamp": (lambda x: x.clamp(-0.5, 0.7), [-0.5, 0.7]),
    "clamp from below": (lambda x: x.clamp(min=0.2), [0.2]),
    "clamp from above": (lambda x: x.clamp(max=0.2), [0.2]),
    "clamp_min": (lambda x: torch.clamp_min(x, 0.2), [0.2]),
    "clamp_max_": (lambda x: (2 * x).clamp_max_(0.2), [0.2]),
    "clip": (lambda x: x.clip(0, 1), [0, 1]),
    "threshold": (lambda x: F.threshold(x, 0.3, 0.3), [0.3]),
    "prelu": (lambda x: F.prelu(x, torch.full((1,), 0.4, dtype=torch.float64)), [0]),
}


@pytest.mark.parametrize("name", BENDING)
def test_bending(name):
    body, thresholds = BENDING[name]
    [step] = is_read(Written(body), (3, 4)).layers
    assert step.activation.thresholds.tolist() == thresholds


LARGEST = {
    "amax": lambda x: x.amax((1, 3)),
    "amax, kept": lambda x: x.amax(2, keepdim=True),
    "max": lambda x: x.max(1).values,
    "max, kept": lambda x: torch.max(x, -1, keepdim=True)[0],
    "maximum": lambda x: torch.maximum(x, 1 - 2 * x),
    "max of two": lambda x: torch.max(x.flip(1), x),
    "max_pool2d": lambda x: F.max_pool2d(x, 2, 1),
    "adaptive": lambda x: F.adaptive_max_pool2d(x, 2),
    "with indices": lambda x: F.max_pool2d(x, 2, return_indices=True)[0],
}


@pytest.mark.parametrize("name", LARGEST)
def test_largest(name):
    [step] = is_read(Written(LARGEST[name]), (2, 3, 4)).layers
    assert isinstance(step, MaxStep)
    assert step.windows.shape[0] == math.prod(step.shape)


def test_a_parameter_and_what_is_computed_from_parameters():
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale, self.shift = (nn.Parameter(torch.randn(3, 1)) for _ in range(2))

        def forward(self, x):
            return x * self.scale.exp() / (1 + self.shift**2) - self.shift

    is_read(Scaled(), (3, 4))
    is_read(nn.utils.parametrizations.weight_norm(nn.Conv2d(2, 3, 3)), (2, 4, 5))
    is_read(nn.utils.parametrizations.spectral_norm(nn.Linear(4, 3)), (4,))


def test_branches_on_lengths():
    def body(x):
        return torch.cat([x] * x.size(1), 1) if len(x) else x.no_such_thing

    assert is_read(Written(body), (3, 4)).shapes[1] == (9, 4)


def test_axes_as_long_as_the_batch_that_is_read():
    """Two inputs are looked at: an axis of length two must not be taken for theirs."""
    is_read(Written(lambda x: x.transpose(1, 2).flatten(1)), (2, 2))
    is_read(Written(lambda x: x + torch.ones(2, 1, dtype=x.dtype)), (2, 2))
    is_read(Written(lambda x: x * torch.arange(2)), (2,))


def test_other_types_are_read_as_float64():
    """A forward in half precision rounds; the graph is what it would be without rounding."""
    linear = nn.Linear(4, 3).double()
    graph = read_graph(Written(lambda x: linear(x.half().double()).float()), (4,))
    x = inputs(5, (4,))
    with torch.no_grad():
        close(graph(x), linear(x))


def test_linear_layers_along_sequences():
    is_read(nn.Linear(4, 3), (5, 4))
    is_read(nn.Linear(4, 3, bias=False), (2, 5, 4))
    mixer = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 4))
    is_read(Written(lambda x: x + mixer.double()(x)), (3, 4))
