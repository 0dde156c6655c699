"""The commands harden and recalibrate, and what the others make of the folders they write."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from bandlimiter import load_data
from bandlimiter.cli.main import app
from bandlimiter.hardening.training import Training

SIGMA = 0.1


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)


def document(*words):
    result = run(*words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with training images, and with what both commands make of them."""
    folder = tmp_path_factory.mktemp("harden")
    images = load_data("sample", 60)
    pixels = (images.images(20, 60) * 255).round().byte().numpy()
    np.savez(folder / "train.npz", x=pixels, y=images.labels[20:].numpy())
    train = ("--data", f"npz:{folder / 'train.npz'}", "--sigma", SIGMA, "--json")
    hardened = run("harden", *train, "--epochs", 0.5, "--out", folder / "hardened")
    recalibrated = run("recalibrate", *train, "--out", folder / "recalibrated")
    assert hardened.exit_code == recalibrated.exit_code == 0, hardened.output + recalibrated.output
    (folder / "hardened.json").write_text(hardened.stdout)
    return folder


def certify(folder, *words):
    few = ("--limit", 2, "--samples", 100, "--selection", 5, "--json")
    return run("certify", "--model", folder, *few, *words)


def test_one_document_with_card_and_history(place):
    found = json.loads((place / "hardened.json").read_text())
    assert found["folder"] == str(place / "hardened")
    assert found["card"] == json.loads((place / "hardened" / "card.json").read_text())
    assert found["card"]["sigma"] == SIGMA
    assert [row["epoch"] for row in found["history"]] == [0, 1]


def test_a_table_and_what_to_do_next(place):
    out = place / "hardened"
    train = ("--data", f"npz:{place / 'train.npz'}", "--sigma", SIGMA)
    again = run("harden", *train, "--epochs", 0.5, "--out", out)  # is there: read, not trained
    assert again.exit_code == 0
    assert f"bandlimiter certify --model {out}" in again.stdout
    assert "in all noisy copies" in again.stdout


@pytest.mark.parametrize("name", ["hardened", "recalibrated"])
def test_the_card_s_sigma_is_used(place, name):
    result = certify(place / name)
    assert json.loads(result.stdout)["settings"]["sigma"] == SIGMA
    assert "note" not in result.stderr


def test_another_sigma_is_noted(place):
    result = certify(place / "hardened", "--sigma", 0.2)
    assert json.loads(result.stdout)["settings"]["sigma"] == 0.2
    assert "was hardened under sigma 0.1; with --sigma 0.2 it may keep much less" in result.stderr


def test_images_that_were_trained_on_are_noted(place):
    """The first packaged images were not given; BatchNorm's statistics took all that were."""
    for name in ("hardened", "recalibrated"):
        fresh = certify(place / name)
        assert "was trained on" not in fresh.stderr
        known = certify(place / name, "--data", f"npz:{place / 'train.npz'}")
        assert "was trained on 2 of these 2 images" in known.stderr


def test_evaluate_takes_the_card_s_sigma_and_notes_images(place):
    fast = ("--attack", "fgsm", "--threat", "transfer", "--protocol", "fixed", "--quick")
    data = ("--data", f"npz:{place / 'train.npz'}", "--limit", 2)
    result = run("evaluate", "--model", place / "recalibrated", *data, *fast, "--json")
    settings = json.loads(result.stdout)["settings"]
    assert settings["sigma"] == settings["hardened"]["sigma"] == SIGMA
    assert "was trained on 2 of these 2 images" in result.stderr


def test_a_model_without_a_card_is_as_before():
    assert json.loads(certify("sample").stdout)["settings"]["sigma"] == 0.06


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--split", "train"), "expected a split with cifar10:PATH alone, got 'train'"),
        (("--recipe", "magic"), "expected a recipe of gaussian, consistency; got 'magic'"),
        (("--part", "tail"), "expected the part all, norm, head; got 'tail'"),
        (("--minutes", 1), "expected minutes or epochs, got both"),
        (("--sigma", 0), "expected sigma above 0"),
        (("--batch", 1), "expected a batch of two images or more, got 1"),
        (("--augment", "spin"), "expected augmentation auto, crop-flip, flip, crop, none"),
        (("--limit", 2), "expected three training images or more, got 2"),
    ],
)
def test_bad_input_is_one_line(place, tmp_path, words, said):
    usual = ("--data", f"npz:{place / 'train.npz'}", "--epochs", 1, "--out", tmp_path / "out")
    result = run("harden", *usual, *words)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "out" / "card.json").exists()


def test_other_settings_are_refused_by_name(place):
    given = ("--data", f"npz:{place / 'train.npz'}", "--epochs", 0.5, "--out", place / "hardened")
    result = run("harden", *given, "--sigma", 0.2)
    assert result.exit_code == 2
    assert "but sigma was 0.1 and is 0.2" in result.stderr


def test_networks_without_batchnorm_cannot_be_recalibrated(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bare.py").write_text(
        "from torch import nn\n"
        "def build():\n    return nn.Sequential(nn.Flatten(), nn.Linear(3072, 10))\n"
    )
    result = run(
        *("recalibrate", "--model", "bare.py:build", "--data", "sample", "--limit", 40),
        *("--out", "out"),
    )
    assert result.exit_code == 2
    assert "found none; use harden to train it under noise" in result.stderr


def test_interrupted_it_says_what_is_kept_and_goes_on(place, tmp_path, monkeypatch):
    given = ("--data", f"npz:{place / 'train.npz'}", "--batch", 8, "--epochs", 1, "--seed", 1)
    out = tmp_path / "cut"
    step = Training.step

    def interrupted(self, pixels, labels):
        if self.done == 2:
            raise KeyboardInterrupt
        return step(self, pixels, labels)

    monkeypatch.setattr("bandlimiter.hardening.run._KEEP_EVERY", 0.0)
    with monkeypatch.context() as cut:
        cut.setattr(Training, "step", interrupted)
        result = run("harden", *given, "--out", out)
    assert result.exit_code == 130
    assert f"the training so far is in {out}; the same command again goes on" in result.stderr
    unfinished = certify(out)
    assert unfinished.exit_code == 2
    assert "where training has not ended; give `harden` the same command again" in unfinished.stderr
    assert run("harden", *given, "--out", out).exit_code == 0
    assert certify(out).exit_code == 0
