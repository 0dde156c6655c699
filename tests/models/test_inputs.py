"""What modules say, and show, of the images that they take."""

import sys

import pytest
import torch
from torch import nn

from bandlimiter import Normalise, load_model
from bandlimiter.models.inputs import refusal, stated_size


class Net(nn.Module):
    """Takes anything; states what it is told to."""

    def __init__(self, **said):
        super().__init__()
        self.head = nn.Linear(1, 2)
        for name, value in said.items():
            setattr(self, name, value)

    def forward(self, x):
        return self.head(x.mean(dim=(1, 2, 3), keepdim=True)[:, :, 0, 0])


class Said:
    def __init__(self, **facts):
        vars(self).update(facts)


class Own(nn.Module):
    """A wrapper of the user's that normalises by hand."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner((x - 0.5) / 0.2)


def timm_like(size=48):
    return Net(pretrained_cfg={"input_size": (3, size, size), "mean": (0.5,) * 3})


NORMALISE = Normalise([0.5] * 3, [0.2] * 3)


@pytest.mark.parametrize(
    ("model", "size"),
    [
        (timm_like(), 48),
        (Net(default_cfg={"input_size": [3, 40, 40]}), 40),
        (Net(input_size=(1, 28, 28)), 28),
        (Net(image_size=56), 56),
        (Net(image_size=(56, 56)), 56),
        (Net(config=Said(image_size=72)), 72),
        (nn.Sequential(NORMALISE, timm_like()), 48),
        (nn.Sequential(Normalise([0.5], [0.2]), timm_like()), 48),
        (nn.DataParallel(timm_like()), 48),
        (nn.DataParallel(nn.Sequential(NORMALISE, timm_like())), 48),
        (Own(timm_like()), 48),
        (nn.Sequential(NORMALISE, nn.Sequential(nn.Identity(), Own(timm_like()))), 48),
    ],
)
def test_what_is_stated_counts_where_images_arrive_as_they_are(model, size):
    assert stated_size(model.eval()) == size


@pytest.mark.parametrize(
    "model",
    [
        Net(),
        Net(input_size=784),  # of a fully connected network, or an LSTM
        Net(pretrained_cfg={"input_size": None}),
        Net(pretrained_cfg={"input_size": (3, 32, 64)}),
        Net(pretrained_cfg="resnet18"),
        Net(image_size=0),
        Net(image_size="224"),
        nn.Sequential(nn.Upsample(size=48), timm_like()),
        nn.Sequential(nn.Upsample(scale_factor=2), NORMALISE, timm_like()),
        nn.Sequential(nn.AvgPool2d(2), timm_like()),
        nn.ModuleList([timm_like(48), timm_like(64)]),
    ],
)
def test_elsewhere_nobody_knows(model):
    assert stated_size(model.eval()) is None


def test_nothing_is_left_of_the_question():
    inner = timm_like()
    stated_size(nn.Sequential(NORMALISE, inner))
    assert not inner._forward_pre_hooks
    assert inner(torch.rand(1, 3, 4, 4)).shape == (1, 2)


def test_timm_s_own_models_state_theirs():
    timm = pytest.importorskip("timm")
    network = timm.create_model("resnet18", pretrained=False).eval()
    assert stated_size(network) == 224
    assert stated_size(nn.Sequential(NORMALISE, network)) == 224
    assert stated_size(nn.Sequential(NORMALISE, nn.Upsample(size=224), network)) is None
    hybrid = timm.create_model("vit_base_r26_s32_224", pretrained=False, depth=1, embed_dim=24)
    assert stated_size(hybrid.eval()) == 224


def test_torchvision_s_vit_states_its_own():
    models = pytest.importorskip("torchvision.models")
    vit = models.VisionTransformer(64, 16, 1, 2, 16, 16)
    assert stated_size(nn.Sequential(NORMALISE, vit).eval()) == 64


def test_a_factory_s_classifier_has_it(tmp_path, monkeypatch):
    (tmp_path / "sized_module.py").write_text(
        "from tests.models.test_inputs import timm_like\nbuild = timm_like\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert load_model("sized_module:build").input_size == 48
    sys.modules.pop("sized_module")


class Reshaped(nn.Module):
    """An image of three channels becomes three of one: three answers."""

    def forward(self, x):
        return x.reshape(-1, 36)[:, :4]


@pytest.mark.parametrize(
    ("model", "channels"),
    [
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(32, 3)), {1}),
        (nn.Sequential(nn.Flatten(), nn.Linear(36, 3)), {1}),
        (nn.Sequential(nn.Flatten(), nn.Linear(36, 3)).half(), {1}),
        (nn.Sequential(nn.Flatten(), nn.Linear(36, 3)).double(), {1}),
        (nn.Sequential(nn.Flatten(), nn.Linear(108, 3)), {3}),
        (nn.Sequential(Normalise([0.5], [0.2]), nn.Flatten(), nn.LazyLinear(3)), {1}),
        (Reshaped(), {1}),
        (Net(), {1, 3}),
        (nn.Sequential(nn.Flatten(), nn.Linear(7, 3)), set()),
        (nn.Sequential(nn.Conv2d(4, 2, 3), nn.Flatten()), set()),
    ],
)
def test_a_model_shows_the_channels_that_it_takes(model, channels):
    assert {count for count in (3, 1) if refusal(model.eval(), count, 6, 6) is None} == channels
    for count in {1, 3} - channels:
        assert "\n" not in refusal(model, count, 6, 6)
