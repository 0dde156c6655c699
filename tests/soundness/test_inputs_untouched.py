"""No call changes a caller's tensor; no answer depends on whether a model writes into its input.

Each member is a model that writes and one that computes the same without: every entry point must
give the two the same answers, bit for bit, and leave its arguments alone.
"""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bandlimiter.errors import ConfigurationError
from tests.soundness.entry_points import (
    ANSWERS,
    ATTACKS,
    COSTLY,
    GEOMETRY,
    TOLERANCE,
    network,
    pixels,
    same,
)

MEAN = torch.tensor([0.5, 0.4, 0.3]).view(-1, 1, 1)


class First(nn.Module):
    """Something that happens to the input, and then a network."""

    def __init__(self, first):
        super().__init__()
        self.first, self.net = first, network()

    def forward(self, x):
        return self.net(self.first(x))


def _relu_on_a_view(x):
    x -= MEAN
    F.relu(x[:, :1], inplace=True)
    return x


def _relu_apart(x):
    x = x - MEAN
    return torch.cat([F.relu(x[:, :1]), x[:, 1:]], dim=1)


def _erase(x):
    x[:, :, 0] = 0
    return x


def _erased(x):
    return torch.cat([torch.zeros_like(x[:, :, :1]), x[:, :, 1:]], dim=2)


class SameMemory(nn.Module):
    """Returns every answer of a batch size in the same memory, as graphs of a GPU's work do."""

    def __init__(self):
        super().__init__()
        self.net, self.memory = network(), {}

    def forward(self, x):
        logits = self.net(x)
        if logits.requires_grad:
            return logits
        return self.memory.setdefault(len(x), torch.empty_like(logits)).copy_(logits)


def _torchvision(**how):
    transforms = pytest.importorskip("torchvision.transforms")
    return First(transforms.Normalize([0.5, 0.4, 0.3], [0.2, 0.3, 0.4], **how))


MEMBERS = {
    "torchvision's Normalize": lambda: (_torchvision(inplace=True), _torchvision()),
    "a ReLU on a view": lambda: (First(_relu_on_a_view), First(_relu_apart)),
    "a scaling": lambda: (
        First(lambda x: x.mul_(2).sub_(1)),
        First(lambda x: x.mul(2).sub(1)),
    ),
    "an erased row": lambda: (First(_erase), First(_erased)),
    "data behind autograd's back": lambda: (
        First(lambda x: x.data.mul_(2) * 0 + x),
        First(lambda x: 2 * x),
    ),
    "answers in one memory": lambda: (SameMemory(), network()),
}
FEW = ("torchvision's Normalize", "answers in one memory")
"""What the costly ones are given: something written before the network, and after it."""

# What is written behind autograd's back has a gradient of its own, and steps that cannot be read.
WITH_GRADIENT = ("gradient", "art", "evaluate", "fgsm", "pgd", "deepfool", "cw", "apgd")


def answers(model, call):
    torch.manual_seed(0)
    x = pixels()
    with torch.no_grad():
        y = model(x.clone()).argmax(1)
    kept, labels = x.clone(), y.clone()
    found = call(model.eval().requires_grad_(False), x, y)
    assert torch.equal(x, kept)
    assert torch.equal(y, labels)
    return found


@pytest.mark.parametrize(
    ("member", "entry"),
    [
        (member, entry)
        for entry in (*ANSWERS, *ATTACKS)
        for member in (FEW if entry in COSTLY else MEMBERS)
    ],
)
def test_answers_are_those_of_a_model_that_leaves_its_input_alone(member, entry):
    if member.startswith("data") and entry in WITH_GRADIENT:
        pytest.skip("the two differ in their gradient")
    writes, leaves = MEMBERS[member]()
    call = {**ANSWERS, **ATTACKS}[entry]
    try:
        found, expected = answers(writes, call), answers(leaves, call)
    except ConfigurationError as refusal:
        if "onnxruntime can run" in str(refusal):
            pytest.skip("ONNX's exporter knows no such steps, and says so")
        raise
    assert same(found, expected, TOLERANCE.get(entry, 0))


@pytest.mark.parametrize("entry", GEOMETRY)
@pytest.mark.parametrize("member", ["a scaling", "torchvision's Normalize"])
def test_what_is_traced_is_that_of_a_model_that_leaves_its_input_alone(member, entry):
    writes, leaves = MEMBERS[member]()
    assert same(answers(writes, GEOMETRY[entry]), answers(leaves, GEOMETRY[entry]))


@pytest.mark.parametrize("entry", GEOMETRY)
def test_a_change_through_a_view_is_refused_where_steps_are_read(entry):
    with pytest.raises(ConfigurationError, match="changed in place through a view of it; clone it"):
        answers(MEMBERS["a ReLU on a view"]()[0], GEOMETRY[entry])
