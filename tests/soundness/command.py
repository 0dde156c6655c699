"""The command, in this process, with a model of a user's own."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from bandlimiter.cli.main import app
from bandlimiter.data import load_data


def run_command(
    folder: Path, monkeypatch: pytest.MonkeyPatch, factory: str, arguments: Sequence[str]
) -> Any:
    """Run the command in ``folder`` on the model that ``build`` in the text ``factory`` makes.

    PHOTO among the arguments is the first packaged image as a file; data are the packaged images.
    """
    (folder / "model_of_mine.py").write_text(factory)
    pixels = load_data("sample", limit=1).images(0, 1)[0]
    photo = (pixels.permute(1, 2, 0) * 255).round().byte().numpy()
    Image.fromarray(photo).save(folder / "photo.png")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    sys.modules.pop("model_of_mine", None)
    told = ["photo.png" if each == "PHOTO" else each for each in arguments]
    own = ["--model", "model_of_mine:build"]
    own += [] if "--sigma" in told else ["--scale", "0.226"]
    data = [] if told[0] == "predict" else ["--data", "sample"]
    return CliRunner().invoke(app, [*told, *own, *data])
