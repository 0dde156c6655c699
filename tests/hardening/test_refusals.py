"""What cannot be hardened: settings, images, networks; one line each."""

import json
import math

import numpy as np
import pytest
import torch
from torch import nn

import bandlimiter
from bandlimiter.errors import ConfigurationError, InputError
from tests.hardening.problems import (
    briefly,
    convolutional,
    fragile,
    pictures,
    refused,
    same_weights,
    two_classes,
)


@pytest.mark.parametrize(
    "settings",
    [
        {"sigma": 0},
        {"sigma": -0.1},
        {"sigma": math.nan},
        {"sigma": math.inf},
        {"sigma": "0.25"},
        {"minutes": 1, "epochs": 1},
        {"minutes": 0},
        {"epochs": -1},
        {"epochs": math.nan},
        {"epochs": math.inf},
        {"rate": 0},
        {"rate": math.nan},
        {"batch": 1},
        {"batch": 2.5},
        {"part": "tail"},
        {"recipe": "smooth"},
        {"augment": "mixup"},
        {"augment": "crop"},
        {"seed": 1.5},
        {"seed": "first"},
    ],
)
def test_settings_out_of_range(settings):
    (name, value), *_ = settings.items()
    message = refused(fragile(), two_classes(20, 0), **settings)
    assert name in message or str(value) in message


@pytest.mark.parametrize("minutes", [1e-9, 1e-5])
def test_too_little_time_for_a_step(minutes):
    message = refused(convolutional(), pictures(60), minutes=minutes)
    assert "minutes for one step at least" in message


def test_settings_may_be_numpy_s_and_torch_s_numbers(tmp_path):
    model, data = fragile(), two_classes(20, 0)
    plain = briefly(model, data, sigma=0.125, epochs=2, rate=0.25, batch=8, seed=3)
    for name, kind in (("numpy", np.float32), ("torch", torch.tensor)):
        sigma, epochs, rate = (kind(each) for each in (0.125, 2.0, 0.25))
        given = {"sigma": sigma, "epochs": epochs, "rate": rate}
        other = briefly(
            model, data, **given, batch=np.int64(8), seed=np.int64(3), out=tmp_path / name
        )
        assert same_weights(plain.model, other.model)
        assert json.loads((tmp_path / name / "card.json").read_text())["sigma"] == 0.125


def test_labels_that_are_none():
    x, _ = two_classes(20, 0)
    ones = torch.ones(20, dtype=torch.int64)
    assert "all 18 have the label 1" in refused(fragile(), (x, ones), kind=InputError)
    for wrong in (2, -1):
        labels = ones.clone()
        labels[7] = wrong
        assert "labels from 0 to 1" in refused(fragile(), (x, labels), kind=InputError)
    refused(fragile(), (x, 0.5 * ones), kind=InputError)


def test_images_that_are_none():
    x, y = pictures(20)
    assert "pixels in [0, 1]" in refused(convolutional(), (255 * x, y), kind=InputError)
    refused(convolutional(), (x * math.nan, y), kind=InputError)
    refused(convolutional(), (x[:1], y[:1]), kind=(InputError, ConfigurationError))
    refused(fragile(), (two_classes(20, 0)[0] * math.nan, y % 2), kind=InputError)


@pytest.mark.parametrize("count", [3, 4, 5, 6, 7, 8, 11])
@pytest.mark.parametrize("batch", [2, 3, 4])
@pytest.mark.parametrize("recipe", ["gaussian", "consistency"])
def test_few_images_suffice(count, batch, recipe):
    # With BatchNorm on vectors, which has no variance for one of them.
    model = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 2)).eval()
    x, _ = two_classes(count, 0)
    hardened = briefly(model, (x, torch.arange(count) % 2), batch=batch, recipe=recipe)
    assert all(torch.isfinite(each).all() for each in hardened.model.state_dict().values())


class Detached(nn.Module):
    def __init__(self):
        super().__init__()
        self.last = nn.Linear(2, 2)

    def forward(self, x):
        return self.last(x).detach()


class Dated(nn.Linear):
    """A layer whose state is more than tensors, which no file of weights holds."""

    def get_extra_state(self):
        return {"made": "on Monday"}

    def set_extra_state(self, state):
        pass


def test_a_state_that_is_more_than_tensors():
    refused(Dated(2, 2), two_classes(20, 0))


class Uncopyable(nn.Linear):
    def __deepcopy__(self, memo):
        raise RuntimeError("two\nlines")


def test_models_that_cannot_be_trained():
    data = two_classes(20, 0)
    assert "frozen" in refused(fragile().requires_grad_(False), data)
    assert "a gradient at the 2 weights" in refused(Detached(), data)
    assert "copy.deepcopy" in refused(Uncopyable(2, 2), data)
    assert "torch.nn.Module" in refused(lambda x: x, data)
    assert "none in 'norm'" in refused(fragile(), data, part="norm")
    with torch.device("meta"):
        empty = nn.Linear(2, 2)
    assert "meta" in refused(empty, data)
    broken = fragile()
    with torch.no_grad():
        broken.weight[0, 0] = math.nan
    assert "NaN" in refused(broken, data, kind=(ConfigurationError, InputError))


@pytest.mark.parametrize(
    "compile_", [torch.jit.script, lambda m: torch.jit.trace(m, torch.rand(2, 2))]
)
def test_programs_of_fixed_operations(compile_):
    message = refused(compile_(fragile()), two_classes(20, 0))
    assert "operations are fixed" in message
    inside = nn.Sequential(compile_(fragile()), nn.Linear(2, 2))
    assert "operations are fixed" in refused(inside, two_classes(20, 0))


def test_images_of_other_channels():
    model = nn.Sequential(bandlimiter.Normalise([0.5] * 3, [0.2] * 3), convolutional())
    assert "3 channels" in refused(model, pictures(20, channels=1), kind=InputError)


def test_a_loss_that_overflows_stops_it():
    message = refused(convolutional(), pictures(60), rate=1e30)
    assert "--rate below 1e+30" in message
