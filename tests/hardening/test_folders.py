"""Hardened folders as models: the same answers, and all that the card knows."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from bandlimiter import load_model
from bandlimiter.data import ArrayImages, image_digests, load_data
from bandlimiter.errors import BandlimiterError, ConfigurationError, LoadError
from bandlimiter.hardening import recalibrate, recalibrate_into
from bandlimiter.hardening.batches import split
from bandlimiter.hardening.noisy_accuracy import COPIES
from bandlimiter.models.card import read_card
from tests.hardening.problems import (
    SIGMA,
    briefly,
    convolutional,
    is_one_line,
    pictures,
    same_weights,
)

BUILD = """\
import torch
from torch import nn

def build():
    torch.manual_seed(0)
    first = (nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
    return nn.Sequential(*first, nn.Dropout(0.3), nn.Flatten(), nn.Linear(144, 3))
"""


@pytest.fixture
def forgotten(tmp_path, monkeypatch):
    """A working folder that is forgotten afterwards, with the modules imported in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.fixture
def built(forgotten):
    """A classifier of a file in the working folder."""
    (forgotten / "own_net.py").write_text(BUILD)
    return load_model("own_net.py:build")


@pytest.fixture(scope="module")
def of_sample(tmp_path_factory):
    """The packaged network after a step, its folder, and the images."""
    folder = tmp_path_factory.mktemp("sample") / "hardened"
    images = load_data("sample", limit=60)
    hardened = briefly(load_model("sample"), images, epochs=0.2, seed=7, out=folder)
    return folder, hardened, images


def answers(model, x):
    with torch.no_grad():
        return model(x)


def refused(name, kind=LoadError, **settings):
    with pytest.raises(kind, match="expected") as caught:
        load_model(name, **settings)
    assert isinstance(caught.value, BandlimiterError)
    assert is_one_line(caught.value)
    return str(caught.value)


# --- the same model -----------------------------------------------------------------------


def test_a_folder_answers_as_what_was_trained(of_sample):
    folder, hardened, images = of_sample
    classifier = load_model(str(folder))
    x = images.images(0, 60)
    assert torch.equal(answers(classifier.module, x), answers(hardened.model, x))
    assert same_weights(classifier.module, hardened.model)
    assert not any(part.training for part in classifier.module.modules())
    packaged = load_model("sample")
    assert not torch.equal(answers(packaged.module, x), answers(hardened.model, x))
    for name in ("input_size", "paper_data", "paper_radius", "class_names"):
        assert getattr(classifier, name) == getattr(packaged, name)
    assert classifier.name == str(folder)
    assert classifier.card == hardened.card


def test_a_folder_knows_the_images_that_it_has_seen(of_sample):
    folder, _, images = of_sample
    seen = load_model(str(folder)).seen
    # Its step took eight; BatchNorm's statistics those that are not held out, the choice these.
    assert sorted(image_digests(images)) == seen.tolist()
    others = image_digests(load_data("sample").take(torch.arange(60, 500)))
    assert not np.isin(others, seen).any()


def test_other_models_have_neither_card_nor_images(sample):
    assert sample.card is None
    assert sample.seen is None


def test_the_card_says_what_was_done(of_sample):
    folder, hardened, images = of_sample
    card = json.loads((folder / "card.json").read_text())
    assert card["version"] == 1
    assert card["base_model"] == "sample"
    assert card["base_weights"] is None
    assert (card["sigma"], card["unit"]) == (SIGMA, "pixels in [0, 1]")
    expected = {"name": "consistency", "draws": 2, "weight": 10.0, "entropy": 0.5, "part": "all"}
    expected |= {"augment": "crop-flip", "rate": 0.05, "batch": 8, "averaged": True}
    expected |= {"steps": 1, "epochs": round(1 / 7, 3)}  # a fifth of seven is one
    assert card["recipe"].items() >= expected.items()
    assert card["recipe"]["chosen_epoch"] in (0, 1)
    assert card["seed"] == 7
    data = {"name": "sample", "number": 60, "content": images.fingerprint(), "held_out": 6}
    assert card["data"] == data
    assert 0 < hardened.history[-1]["seconds"] / 60 < card["minutes"] + 0.006  # two digits
    assert card["machine"]["threads"] == torch.get_num_threads()
    assert card["machine"]["device"] == "cpu"
    assert card["machine"]["torch"] in torch.__version__
    assert {"processor", "bandlimiter", "date", "bfloat16"} <= set(card["machine"])
    assert card["held_out"]["images"] == 6
    best = hardened.history[card["recipe"]["chosen_epoch"]]
    for name, answers_given in (("clean", 6), ("noisy", 6 * COPIES), ("steady", 6)):
        share = card["held_out"][name]
        assert share == best[name]
        assert share * answers_given == pytest.approx(round(share * answers_given))


def test_a_folder_holds_no_more_than_a_model(of_sample):
    folder, _, _ = of_sample
    names = {path.name for path in folder.iterdir() if path.name != ".lock"}
    kept = {"card.json", "model.safetensors", "trained_on.npy", "log.tsv", "settings.json"}
    assert names == kept


def test_a_folder_may_be_moved(of_sample, tmp_path):
    folder, hardened, images = of_sample
    moved = tmp_path / "elsewhere"
    shutil.copytree(folder, moved)
    x = images.images(0, 5)
    assert torch.equal(answers(load_model(str(moved)).module, x), answers(hardened.model, x))


# --- what built the architecture ----------------------------------------------------------


def test_a_file_s_model_works_from_any_working_folder(built, forgotten, monkeypatch):
    x, y = pictures(60)
    hardened = briefly(built, (x, y), out=forgotten / "out")
    (forgotten / "elsewhere").mkdir()
    monkeypatch.chdir(forgotten / "elsewhere")
    assert torch.equal(answers(load_model("../out").module, x), answers(hardened.model, x))


@pytest.mark.slow
def test_another_process_builds_it_from_any_working_folder(built, forgotten, tmp_path_factory):
    briefly(built, pictures(60), out=forgotten / "out")
    code = f"import bandlimiter as b; print(b.load_model({str(forgotten / 'out')!r}).card.sigma)"
    said = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path_factory.mktemp("elsewhere"),
    )
    assert float(said.stdout) == SIGMA


def test_a_file_that_is_gone(built, forgotten):
    briefly(built, pictures(60), out="out")
    (forgotten / "own_net.py").unlink()
    del sys.modules["own_net"]
    message = refused("out")
    assert "own_net.py:build" in message
    assert "--model MODULE:FACTORY --weights out/model.safetensors --sigma 0.1" in message


def test_a_file_that_builds_something_else_now(built, forgotten):
    briefly(built, pictures(60), out="out")
    (forgotten / "own_net.py").write_text(BUILD.replace("144", "145"))
    del sys.modules["own_net"]
    assert "model.safetensors: 0 missing, 0 unexpected, 1 of another shape" in refused("out")


def test_the_file_of_weights_that_it_began_from_is_on_the_card(built, forgotten):
    weights = forgotten / "trained.safetensors"
    save_file(convolutional(seed=3).state_dict(), weights)
    begun = load_model("own_net.py:build", weights)
    card = briefly(begun, pictures(60), out="out").card
    assert card.base_weights
    assert "trained.safetensors" in card.base_weights


def test_a_module_from_python_needs_what_builds_it(forgotten):
    hardened = briefly(convolutional(), pictures(60), out="out")
    assert read_card(forgotten / "out" / "card.json").base_model is None
    message = refused("out", ConfigurationError)
    assert "--model MODULE:FACTORY --weights out/model.safetensors --sigma 0.1" in message
    # And that is what does it.
    (forgotten / "own_net.py").write_text(BUILD)
    again = load_model("own_net.py:build", "out/model.safetensors").module
    x, _ = pictures(5)
    assert torch.equal(answers(again, x), answers(hardened.model, x))


def test_hardened_again_it_keeps_its_base_and_all_images(built, forgotten):
    first, second = pictures(60), pictures(40, seed=1)
    briefly(built, first, out="once")
    x = torch.cat([first[0][:10], second[0]])  # ten of them again
    y = torch.cat([first[1][:10], second[1]])
    hardened = briefly(load_model("once"), (x, y), sigma=0.2, out="twice")
    twice = load_model("twice")
    assert twice.card.base_model == load_model("once").card.base_model
    assert twice.card.sigma == 0.2
    seen = {int(each) for part in (first, second) for each in image_digests(ArrayImages("", *part))}
    assert len(seen) == 100
    # An epoch leaves out less than one image per batch of 8, at random: two leave out few.
    assert set(twice.seen.tolist()) <= seen
    assert len(twice.seen) >= 95
    assert set(load_model("once").seen.tolist()) <= set(twice.seen.tolist())
    assert torch.equal(answers(twice.module, x), answers(hardened.model, x))


def test_shared_weights_and_doubles_come_back(forgotten):
    source = """
from torch import nn

def build():
    net = nn.Sequential(nn.Flatten(), nn.Linear(108, 3), nn.Linear(3, 3), nn.Linear(3, 3))
    net[3].weight = net[2].weight
    return net.double()
"""
    (forgotten / "shared_net.py").write_text(source)
    classifier = load_model("shared_net.py:build")
    x, y = pictures(60)
    hardened = briefly(classifier, (x, y), out="out")
    again = load_model("out").module
    assert again[2].weight is again[3].weight
    assert torch.equal(answers(again, x.double()), answers(hardened.model, x.double()))


def test_a_recalibrated_folder_is_a_model_too(built, forgotten):
    data = ArrayImages("pictures", *pictures(60))
    hardened = recalibrate_into(forgotten / "out", built, data, SIGMA, seed=3)
    classifier = load_model("out")
    x = data.images(0, 60)
    assert torch.equal(answers(classifier.module, x), answers(hardened.model, x))
    shown, held_out = split(data, 3)
    assert same_weights(hardened.model, recalibrate(built.module, shown, SIGMA, seed=3))
    assert classifier.card == hardened.card
    assert classifier.card.recipe["name"] == "recalibrate"
    assert classifier.card.data["held_out"] == len(held_out) == 6
    assert classifier.seen.tolist() == sorted(image_digests(data))
    before, after = hardened.history
    for row, model in ((before, built.module), (after, hardened.model)):
        right = answers(model, held_out.images(0, 6)).argmax(dim=1) == held_out.labels
        assert row["clean"] == pytest.approx(float(right.float().mean()))
    assert classifier.card.held_out["noisy"] == after["noisy"]
    recalibrate_into(forgotten / "out", built, data, SIGMA, seed=3)  # the same once more
    with pytest.raises(ConfigurationError, match="sigma was 0.1 and is 0.2"):
        recalibrate_into(forgotten / "out", built, data, 0.2, seed=3)


# --- names --------------------------------------------------------------------------------


def test_weights_beside_a_folder_are_refused(of_sample):
    folder, _, _ = of_sample
    weights = folder / "model.safetensors"
    assert "has its own" in refused(str(folder), ConfigurationError, weights=weights)


def test_a_folder_of_something_else(tmp_path):
    assert "card.json" in refused(str(tmp_path), ConfigurationError)
    refused(str(tmp_path / "missing"), ConfigurationError)


def test_a_folder_that_is_called_as_a_known_model_is_not_taken_for_it(forgotten, sample):
    weights = forgotten / "weights.safetensors"
    save_file({f"x.{k}": v for k, v in sample.module[1].state_dict().items()}, weights)
    (forgotten / "cifar-resnet20").mkdir()
    x = torch.rand(2, 3, 32, 32)
    found = load_model("cifar-resnet20", weights).module
    assert torch.equal(answers(found, x), answers(sample.module, x))
