import json
import os
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from bandlimiter.cli.main import app
from bandlimiter.draw.certified import draw_certified
from bandlimiter.errors import InputError
from bandlimiter.results.certified_rows import read_certified

COMMAND = [sys.executable, "-c", "from bandlimiter.cli.main import app; app()", "certify"]
ENVIRONMENT = {**os.environ, "COLUMNS": "100", "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
QUICK = ("--limit", 3, "--samples", 61, "--selection", 20)


def run(*arguments):
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        timeout=300,
        check=False,
    )


def inside(*arguments):
    """Run in this process, which has loaded torch already."""
    return CliRunner().invoke(app, ["certify", *map(str, arguments)], env={"COLUMNS": "100"})


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certified") / "run"
    result = run(*QUICK, "--json", "--out", folder)
    assert result.returncode == 0, result.stderr
    return folder, json.loads(result.stdout)


def test_one_document_whose_rows_and_pictures_are_on_disk(finished):
    folder, document = finished
    assert sorted(path.name for path in folder.iterdir()) == [
        "certified.json",
        "certified.png",
        "certified.svg",
        "rows.jsonl",
    ]
    assert json.loads((folder / "certified.json").read_text()) == document
    rows = read_certified(folder)
    assert len(rows) == document["images"] == 3
    right = [row.right_radius for row in rows]
    assert document["accuracy"] == np.mean(np.array(right) > 0)
    assert document["settings"]["sampler"] == "ball"
    assert document["settings"]["samples"] == 61


def test_says_what_8_255_would_need_and_how_far_these_samples_reach(finished):
    """sqrt(3072) 8/255 pixels; per channel divided by the normaliser's std."""
    _, document = finished
    reach = document["reach"]
    assert reach["needed_pixels"] == pytest.approx(8 / 255 * 3072**0.5)
    lengths = [1024 * (8 / 255 / std) ** 2 for std in (0.229, 0.224, 0.225)]
    assert reach["needed"] == pytest.approx(sum(lengths) ** 0.5, rel=1e-6)  # std is float32
    assert reach["best_pixels"] == pytest.approx(0.224 * reach["best"], rel=1e-6)
    rows = read_certified(finished[0])
    assert max(row.radius for row in rows) <= reach["best"] < 0.146
    assert "times too short" in document["verdict"]


def test_the_table_for_people():
    result = inside(*QUICK, "--sampler", "gaussian", "--vote", "majority")
    assert result.exit_code == 0
    for words in ("3 images; gaussian", "abstains", "median certified radius", "8/255"):
        assert words in result.stdout
    assert "L2 radius" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--sampler", "directions"], "mutually singular"),
        (["--vote", "logits"], "no bounds"),
        (["--samples", "5"], "at least 10 samples"),
        (["--alpha", "2"], "alpha"),
        (["--radius", "0"], "radius above 0"),
        (["--epsilon", "2"], "epsilon in (0, 1]"),
        (["--data", "npz:{}/range.npz"], "pixels in [0, 1]"),
        (["--data", "npz:{}/nan.npz"], "images without NaN"),
        (["--data", "npz:{}/labels.npz"], "labels from 0 to 9"),
    ],
)
def test_refusals_are_one_line_and_leave_nothing(tmp_path, arguments, words):
    out = tmp_path / "out"
    x, y = np.zeros((2, 32, 32, 3), np.float32), np.array([0, 1])
    np.savez(tmp_path / "range.npz", x=x + 255, y=y)
    np.savez(tmp_path / "nan.npz", x=x * np.nan, y=y)
    np.savez(tmp_path / "labels.npz", x=x, y=y + 50)
    filled = [argument.replace("{}", str(tmp_path)) for argument in arguments]
    result = inside(*filled, "--out", out)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert words in result.stderr
    assert not list(out.iterdir()) if out.exists() else True


def test_does_not_overwrite_a_run(finished):
    result = inside(*QUICK, "--out", finished[0])
    assert result.exit_code == 2
    assert "already holds a run" in result.stderr


def test_help_says_what_is_certified():
    result = inside("--help")
    assert result.exit_code == 0
    for words in ("--samples", "--alpha", "abstains", "8/255"):
        assert words in result.stdout


def test_the_curve_is_the_share_of_images_certified_beyond_each_radius():
    radii = [0.0, 0.0, 0.2, 0.5, 0.5]
    figure = draw_certified({"ball": radii}, pixels=0.5, needed=("8/255", 7.7))
    (line,) = figure.axes[0].lines
    starts, shares = line.get_data()
    assert line.get_drawstyle() == "steps-post"
    np.testing.assert_allclose(starts, [0, 0.2, 0.5])
    np.testing.assert_allclose(shares, [0.6, 0.4, 0.0])
    (note,) = figure.axes[0].texts
    assert "needs 7.7" in note.get_text()  # off the picture
    near = draw_certified({"ball": radii}, pixels=0.5, needed=("8/255", 0.3))
    assert [line.get_label() for line in near.axes[0].lines] == ["ball", "8/255"]


@pytest.mark.parametrize("radii", [{}, {"ball": []}])
def test_a_curve_of_nothing_is_refused(radii):
    with pytest.raises(InputError, match="at least one"):
        draw_certified(radii, pixels=1.0)
