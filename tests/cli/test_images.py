"""Image files in every command: as they are, in the size asked for or stated, gray or coloured."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from typer.testing import CliRunner

from bandlimiter import Normalise, load_data
from bandlimiter.cli.images import ModelImages
from bandlimiter.cli.main import app
from bandlimiter.errors import ConfigurationError
from bandlimiter.models import Classifier

QUICK = ("--attack", "fgsm", "--quick", "--threat", "transfer", "--directions", 1, "--radius", 1)


def gray():
    torch.manual_seed(0)
    layers = nn.Flatten(), nn.Linear(144, 2)
    return nn.Sequential(Normalise([0.1], [0.3]), *layers).eval()


def coloured():
    torch.manual_seed(0)
    layers = nn.Flatten(), nn.Linear(432, 2)
    return nn.Sequential(Normalise([0.1] * 3, [0.3] * 3), *layers).eval()


def stated():
    normalise, *layers = coloured()
    network = nn.Sequential(*layers)
    network.pretrained_cfg = {"input_size": (3, 12, 12)}
    return nn.Sequential(normalise, network).eval()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two classes of 12 x 12 pixels, gray and coloured; and one image of another size beside."""
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        pixels = rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / name / "colour.png")
        Image.fromarray(pixels[..., 0]).save(tmp_path / "photos" / name / "gray.png")
    Image.fromarray(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(tmp_path / "wide.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments):
    result = CliRunner().invoke(app, [str(each) for each in arguments], env={"COLUMNS": "200"})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def document(*arguments):
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


COMMANDS = {
    "evaluate": ["evaluate", *QUICK],
    "certify": ["certify", "--sigma", 0.02, "--samples", 50, "--selection", 10],
    "tune": ["tune", "--radii", 1, "--refinements", 0, "--directions", 1],
    "trace": ["trace", "--image", 0, "--random", "--length", 0.1],
    "reproduce": ["reproduce", "table1", "--attack", "fgsm", "--quick", "--radius", 1],
}
"""Every command that reads a folder of images."""


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("factory", ["gray", "coloured", "stated"])
def test_every_command_shows_files_as_the_model_takes_them(folder, command, factory):
    if command in ("tune", "trace", "reproduce"):
        pytest.importorskip("matplotlib")
    name = f"{__name__}:{factory}"
    found = document(*COMMANDS[command], "--model", name, "--data", "imagefolder:photos")
    assert found["settings"]["size"] == (12 if factory == "stated" else None)


@pytest.mark.parametrize("factory", ["gray", "coloured"])
def test_predict_takes_images_of_any_size(folder, factory):
    name, files = f"{__name__}:{factory}", ["wide.png", "photos/a/gray.png", "photos/a/colour.png"]
    found = document("predict", *files, "--model", name, "--radius", 1, "--size", 12)
    assert len(found["predictions"]) == 3
    assert found["settings"]["size"] == 12
    (answer,) = document("predict", files[1], "--model", name, "--radius", 1)["predictions"]
    x = torch.from_numpy(np.array(Image.open(files[1]))).float().expand(1, 3, -1, -1) / 255
    model = globals()[factory]()
    expected = model(x if factory == "coloured" else x[:, :1]).detach().softmax(dim=1)
    assert answer["plain"]["label"] == int(expected.argmax())
    # Scores pass through float32 sums of 432 terms, in the same order.
    assert answer["plain"]["score"] == pytest.approx(float(expected.max()), abs=1e-6)


def test_colour_is_shown_as_luma_to_a_model_of_one_channel(folder):
    shown = ModelImages(Classifier("gray", gray()), None)
    path = folder / "photos" / "a" / "colour.png"
    luma = torch.from_numpy(np.array(Image.open(path).convert("L"))).float() / 255
    assert torch.equal(shown.read(path)[0], luma)
    assert torch.equal(shown.load("imagefolder:photos").images(0, 1)[0, 0], luma)


def test_a_size_that_does_not_fit_is_told_in_one_line(folder):
    name = f"{__name__}:coloured"
    for command in (
        ["predict", "wide.png", "--radius", 1],
        ["trace", "--from", "wide.png", "--random", "--length", 1],
    ):
        result = run(*command, "--model", name)
        assert result.exit_code == 2
        assert "expected --size N" in result.stderr
        assert "30 x 20 pixels" in result.stderr
        assert result.stderr.strip().count("\n") == 0
    (folder / "photos" / "a" / "wide.png").write_bytes((folder / "wide.png").read_bytes())
    result = run("evaluate", *QUICK, "--model", name, "--data", "imagefolder:photos")
    assert result.exit_code == 2
    assert "wide.png); --size N" in result.stderr
    found = document(
        "evaluate", *QUICK, "--model", name, "--data", "imagefolder:photos", "--size", 12
    )
    assert found["clean"]["images"] == 5


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "at least one pixel"), (-3, "at least one pixel"), (12, "expected no --size with sample")],
)
def test_sizes_that_nothing_can_have(folder, size, words):
    result = run("evaluate", *QUICK, "--limit", 2, "--size", size)
    assert result.exit_code == 2
    assert words in result.stderr


def test_another_size_is_another_run(folder):
    arguments = ("evaluate", *QUICK, "--data", "imagefolder:photos", "--out", "run")
    name = ("--model", f"{__name__}:coloured")
    assert run(*arguments, *name, "--size", 12).exit_code == 0
    path = folder / "photos" / "b" / "gray.png"
    whole = path.read_bytes()
    path.write_bytes(whole + b"\0")
    assert run(*arguments, *name, "--size", 12).exit_code == 2  # other bytes, one name
    path.write_bytes(whole)
    assert run(*arguments, *name, "--size", 12).exit_code == 0
    assert run(*arguments, *name).exit_code == 2


def test_named_models_have_their_own_size(sample, photos):
    shown = ModelImages(sample, None)
    assert shown.size == 32
    assert torch.equal(shown.load("sample", 2).images(0, 2), photos.images(0, 2))
    with pytest.raises(ConfigurationError, match="whose images have a fixed size"):
        ModelImages(sample, 32).load("sample")
    assert load_data("sample", 1).images(0, 1).shape[-1] == 32
