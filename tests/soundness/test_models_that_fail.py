"""A model that fails in a way of its own ends a command in one line, and no others start a run."""

import pytest
import torch
from torch import nn

from bandlimiter import evaluate
from bandlimiter.errors import ConfigurationError
from tests.soundness.command import run_command
from tests.soundness.entry_points import defended, network, pixels

FACTORY = """
from torch import nn
from bandlimiter import load_model

class OneByOne(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = load_model("sample").module
    def forward(self, x):
        if len(x) > 1:
            raise KeyError("one image at a time,\\nplease")
        return self.net(x)

def build():
    return OneByOne().eval()
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["predict", "PHOTO", "--radius", "6"],
        ["certify", "--limit", "2", "--samples", "50", "--sigma", "0.02"],
        ["tune", "--limit", "2", "--radii", "1"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_the_command_says_what_the_model_said(arguments, tmp_path, monkeypatch):
    found = run_command(tmp_path, monkeypatch, FACTORY, arguments)
    assert found.exit_code == 2
    assert found.stdout == ""
    line = found.stderr.strip().splitlines()[-1]
    assert line.startswith("error: ")
    assert "one image at a time" in line
    assert "Traceback" not in found.stderr


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda x: x, "expected the bad one as a torch.nn.Module, got function"),
        (network().to("meta"), "meta device"),
        (nn.Sequential(network(), nn.Dropout()).train(), "in training mode"),
    ],
)
def test_other_defences_are_held_to_the_same(other, message):
    model, x = network(), pixels(2)
    with pytest.raises(ConfigurationError, match=message):
        evaluate(
            model,
            defended(model),
            (x, torch.zeros(2, dtype=torch.int64)),
            ["fgsm"],
            quick=True,
            others={"bad one": other},
        )
