"""A model whose answer to an input depends on its batch is refused wherever labels come from it."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bandlimiter.errors import ConfigurationError
from bandlimiter.tensors import require_independent
from tests.soundness.command import run_command
from tests.soundness.entry_points import ANSWERS, defended, network, pixels

REFUSING = [name for name in ANSWERS if name not in ("forward", "gradient")]


class Between(nn.Module):
    """A network with something across the batch in its middle."""

    def __init__(self, between):
        super().__init__()
        self.net, self.between = network(), between

    def forward(self, x):
        return self.net[3](self.between(self.net[1:3](x.flatten(1))))


class TrainedBatchNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.net, self.norm = network(), nn.BatchNorm1d(16)

    def forward(self, x):
        return self.net[3](self.norm(self.net[1:3](x.flatten(1))))


def in_training():
    model = TrainedBatchNorm().eval()
    model.norm.train()
    return model


def with_dropout_left_on():
    model = Between(nn.Dropout(0.5)).eval()
    model.between.train()
    return model


MEMBERS = {
    "less the batch's mean": lambda: Between(lambda z: z - z.mean(0)),
    "softmax over the batch": lambda: Between(lambda z: z.softmax(0)),
    "less the first": lambda: Between(lambda z: z - z[:1]),
    "the batch's largest": lambda: Between(lambda z: z / z.amax()),
    "F.batch_norm": lambda: Between(lambda z: F.batch_norm(z, None, None, training=True)),
    "attention between inputs": lambda: Between(lambda z: (z @ z.T).softmax(1) @ z),
    "a BatchNorm in training mode": in_training,
    "dropout left on": with_dropout_left_on,
}
FINE = {
    "instance normalisation": lambda: nn.Sequential(nn.InstanceNorm2d(3), network()),
    "layer normalisation": lambda: Between(nn.LayerNorm(16)),
    "a BatchNorm with statistics": lambda: TrainedBatchNorm(),
    "noise of its own": lambda: Between(lambda z: z + 0.1 * torch.randn_like(z)),
    "classes ruled out": lambda: nn.Sequential(network(), Masked()),
    "outputs that nearly cancel": lambda: nn.Sequential(network(), Cancelled()),
}


class Masked(nn.Module):
    def forward(self, z):
        return torch.cat([z[:, :3], torch.full_like(z[:, :1], -torch.inf)], dim=1)


class Cancelled(nn.Module):
    def forward(self, z):
        return (1e3 + z) - 1e3


@pytest.mark.parametrize("entry", REFUSING)
@pytest.mark.parametrize("member", MEMBERS)
def test_refused_in_one_line(member, entry):
    model, x = MEMBERS[member](), pixels()
    in_training = member in ("a BatchNorm in training mode", "dropout left on")
    if not in_training:
        model.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    said = "in eval mode" if in_training else "does not depend on the rest of its batch"
    with pytest.raises(ConfigurationError, match=said) as refusal:
        ANSWERS[entry](model, x, torch.zeros(len(x), dtype=torch.int64))
    assert "\n" not in str(refusal.value)
    for name, value in model.state_dict().items():  # a look leaves no trace
        assert torch.equal(value, before[name])


@pytest.mark.parametrize("member", FINE)
def test_others_are_not(member):
    model, x = FINE[member]().eval(), pixels(1)
    require_independent(model, x)
    defended(model).predict(x)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_rounding_of_any_precision_is_no_dependence(dtype, sample, photos):
    import copy

    require_independent(copy.deepcopy(sample.module).to(dtype), photos.images(0, 1))


def test_one_image_is_enough_to_tell():
    with pytest.raises(ConfigurationError, match="does not depend on the rest of its batch"):
        defended(MEMBERS["less the batch's mean"]().eval()).predict(pixels(1))


FACTORY = """
import torch
from torch import nn
from bandlimiter import Normalise, load_model

class Mixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = load_model("sample").module
    def forward(self, x):
        z = self.net(x)
        return z - z.mean(0)

def build():
    return Mixed().eval()
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["predict", "PHOTO", "--radius", "6"],
        ["evaluate", "--limit", "2", "--attack", "fgsm", "--quick", "--radius", "6"],
        ["certify", "--limit", "2", "--samples", "50", "--sigma", "0.02"],
        ["tune", "--limit", "2", "--radii", "1"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_the_command_says_so(arguments, tmp_path, monkeypatch):
    found = run_command(tmp_path, monkeypatch, FACTORY, arguments)
    assert found.exit_code == 2
    assert found.stdout == ""
    line = found.stderr.strip().splitlines()[-1]
    assert line.startswith("error: expected a model whose answer to an input does not depend")
