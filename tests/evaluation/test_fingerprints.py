"""A fingerprint changes with what rows depend on, and with nothing else."""

import importlib
import sys
from dataclasses import dataclass
from functools import partial

import pytest
import torch
from torch import nn

from bandlimiter import PostAverage, load_model
from bandlimiter.attacks import Attack, build_attack
from bandlimiter.data import ArrayImages
from bandlimiter.evaluation.fingerprints import of_attack, of_images
from bandlimiter.evaluation.values import hash_of as of_module

SOURCE = """
import torch
from torch import nn

class Own(nn.Module):
    def __init__(self, temperature=1.0):
        super().__init__()
        self.temperature = temperature
        self.register_buffer("mean", torch.zeros(3), persistent=False)
        self.parent = [self]

    def forward(self, x):
        return x.flatten(1)[:, :4] / self.temperature
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A module of a user's own, from a file."""
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "own_module.py"

    def load(source=SOURCE):
        path.write_text(source)
        sys.modules.pop("own_module", None)
        importlib.invalidate_caches()
        sys.dont_write_bytecode = True
        return importlib.import_module("own_module").Own

    return load


def test_the_same_weights_loaded_twice_have_one():
    first, second = load_model("sample").module, load_model("sample").module
    assert of_module(first) == of_module(second)


def test_use_does_not_change_it(sample, photos):
    defence = PostAverage(sample.module, 6, directions=1, randomness="fresh")
    before = of_module(defence)
    defence(photos.images(0, 2))
    defence.predict(photos.images(0, 1))
    assert of_module(defence) == before


@pytest.mark.parametrize(
    "change",
    [{"radius": 5.0}, {"scale": 0.25}, {"seed": 1}, {"directions": 2}, {"vote": "logits"}],
)
def test_every_setting_of_a_defence_counts(sample, change):
    settings = {"radius": 6.0, "scale": 0.5, "directions": 1, **change}
    assert of_module(PostAverage(sample.module, **settings)) != of_module(
        PostAverage(sample.module, 6.0, scale=0.5, directions=1)
    )


def test_one_bit_of_one_weight_counts(sample):
    other = load_model("sample").module
    with torch.no_grad():
        weight = next(other.parameters()).flatten()
        weight[0] = torch.nextafter(weight[0], torch.tensor(torch.inf))
    assert of_module(other) != of_module(sample.module)


def test_attributes_buffers_and_source_of_one_s_own_count(own):
    kind = own()
    same = of_module(kind())
    assert of_module(kind()) == same  # though it holds itself, and lies elsewhere in memory
    assert of_module(kind(0.3)) != same
    moved = kind()
    moved.mean += 1
    assert of_module(moved) != same
    assert of_module(own(SOURCE.replace("[:, :4]", "[:, 1:5]"))()) != same


def test_functions_count_by_their_source():
    first, second = nn.Module(), nn.Module()
    first.act, second.act = nn.functional.relu, nn.functional.gelu

    class Holder(nn.Module):
        def __init__(self, act):
            super().__init__()
            self.act = act

    assert of_module(Holder(nn.functional.relu)) == of_module(Holder(nn.functional.relu))
    assert of_module(Holder(nn.functional.relu)) != of_module(Holder(nn.functional.gelu))
    assert of_module(Holder(partial(max, 1))) != of_module(Holder(partial(max, 2)))


@dataclass(frozen=True)
class Mine(Attack):
    steps: int = 3
    name = "mine"
    protocol = "fixed"

    def run(self, inputs):
        return inputs.images


class Plain(Attack):
    name, protocol = "plain", "fixed"

    def __init__(self, images):
        self.images = images

    def run(self, inputs):
        return self.images


def test_attacks_count_by_class_and_settings():
    assert of_attack(build_attack("pgd", "fixed")) == of_attack(build_attack("pgd", "fixed"))
    assert of_attack(build_attack("pgd", "fixed")) != of_attack(build_attack("pgd", "minimal"))
    assert of_attack(Mine()) != of_attack(Mine(4))
    assert of_attack(Plain(torch.zeros(2))) == of_attack(Plain(torch.zeros(2)))
    assert of_attack(Plain(torch.zeros(2))) != of_attack(Plain(torch.ones(2)))


def test_images_count_by_contents_labels_and_ids(photos):
    def described(pixels, labels, ids=None):
        return of_images(ArrayImages("x", pixels, labels, ids))

    x, y = photos.images(0, 3), photos.labels[:3]
    same = described(x, y)
    assert described(x.clone(), y.clone()) == same
    assert described(x + 1e-6, y) != same
    assert described(x, y.flip(0)) != same
    assert described(x, y, torch.tensor([0, 1, 5])) != same
