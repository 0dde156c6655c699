import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from typer.testing import CliRunner

from bandlimiter.cli.main import app
from bandlimiter.draw.certified import draw_certified
from bandlimiter.errors import InputError, LoadError
from bandlimiter.results.certified_logs import read_certified
from bandlimiter.results.runs import StoredRun

COMMAND = [sys.executable, "-c", "from bandlimiter.cli.main import app; app()", "certify"]
ENVIRONMENT = {**os.environ, "COLUMNS": "100", "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
QUICK = ("--limit", 3, "--sigma", 0.02, "--samples", 96, "--selection", 20)


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
        "certified.tsv",
        "lock",
        "run.sqlite",
        "shards",
    ]
    assert json.loads((folder / "certified.json").read_text()) == document
    rows = read_certified(folder)
    assert len(rows) == document["images"] == 3
    assert document["accuracy"] == np.mean([row.right for row in rows])
    settings = document["settings"]
    assert (settings["sampler"], settings["vote"]) == ("gaussian", "majority")
    assert (settings["sigma"], settings["samples"], settings["at"]) == (0.02, 96, None)
    assert max(row.radius for row in rows) <= document["reach"] < 0.02 * 2.46


def test_says_what_8_255_would_need(finished):
    """sqrt(3072) 8/255 pixels."""
    verdict = finished[1]["verdict"]
    assert f"L2 length {8 / 255 * 3072**0.5:.3g} in pixels" in verdict
    assert "times too short" in verdict


def test_the_table_for_people():
    result = inside(*QUICK, "--sampler", "ball", "--vote", "softmax", "--at", "0.0005,9")
    assert result.exit_code == 0, result.stderr
    for words in ("3 images; ball, sigma = 0.02", "abstains", "median certified radius", "8/255"):
        assert words in result.stdout
    (line,) = [line for line in result.stdout.splitlines() if line.split()[:1] == ["9"]]
    assert line.split() == ["9"]  # left blank, and named before the start
    assert "left blank: 9" in result.stderr


REFUSALS = [
    (["--sampler", "directions"], "no standard deviation"),
    (["--vote", "logits"], "no bounds"),
    (["--samples", "5"], "at least 12 samples"),
    (["--alpha", "2"], "alpha"),
    (["--sigma", "0"], "sigma above 0"),
    (["--sigma", "-1"], "sigma above 0"),
    (["--sigma", "nan"], "sigma above 0"),
    (["--sigma", "0.1", "--radius", "6"], "got both"),
    (["--sigma", "0.1", "--scale", "0.2"], "no scale with sigma"),
    (["--radius", "6"], "give sigma"),
    (["--at", ""], "a value after --at"),
    (["--at", "0.2,0.1"], "increasing"),
    (["--at", "0.2,0.2"], "increasing"),
    (["--at", "0"], "positive"),
    (["--at", "near"], "--at like 0.25,0.5"),
    (["--at", "5,6"], "at most"),
    (["--read", "{}/log.tsv", "--at", "nan"], "finite, positive"),
    (["--until-width", "0"], "positive width"),
    (["--epsilon", "2"], "epsilon in (0, 1]"),
    (["--data", "npz:{}/range.npz"], "pixels in [0, 1]"),
    (["--data", "npz:{}/nan.npz"], "images without NaN"),
    (["--data", "npz:{}/labels.npz"], "labels from 0 to 9"),
    (
        ["--data", "npz:{}/off.npz", "--exact"],
        "on the lattice of 1/4080 with --exact, image 1 is not",
    ),
    (["--read", "{}/nothing.tsv"], "log that can be read"),
    (["--read", "{}/range.npz"], "log that can be read"),
]


@pytest.mark.parametrize(("arguments", "words"), REFUSALS)
def test_refusals_are_one_line_and_leave_no_rows(tmp_path, arguments, words):
    out = tmp_path / "out"
    x, y = np.zeros((2, 32, 32, 3), np.float32), np.array([0, 1])
    np.savez(tmp_path / "range.npz", x=x + 255, y=y)
    np.savez(tmp_path / "nan.npz", x=x * np.nan, y=y)
    np.savez(tmp_path / "labels.npz", x=x, y=y + 50)
    np.savez(tmp_path / "off.npz", x=x + np.array([0, 0.1234])[:, None, None, None], y=y)
    (tmp_path / "log.tsv").write_text("idx\tlabel\tpredict\tradius\tcorrect\n0\t1\t1\t0.5\t1\n")
    filled = [argument.replace("{}", str(tmp_path)) for argument in arguments]
    result = inside(*filled, "--out", out)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert words in result.stderr
    assert not (out / "run.sqlite").exists() or not StoredRun.open(out).rows()


def test_a_finished_run_is_shown_again_and_others_are_refused(finished):
    folder, document = finished
    before = StoredRun.open(folder).rows(), (folder / "certified.tsv").read_bytes()
    again = inside(*QUICK, "--json", "--out", folder)
    assert again.exit_code == 0, again.stderr
    shown = json.loads(again.stdout)
    assert shown == {**document, "settings": shown["settings"]}
    assert (StoredRun.open(folder).rows(), (folder / "certified.tsv").read_bytes()) == before
    other = inside(*QUICK, "--alpha", "0.01", "--out", folder)
    assert other.exit_code == 2
    assert "alpha: 0.001 -> 0.01" in other.stderr


def rows_of(folder):
    try:
        return len(StoredRun.open(folder).rows())
    except LoadError:
        return 0


@pytest.mark.slow
def test_a_run_that_is_really_killed_goes_on(tmp_path):
    given = ("--limit", 100, "--sigma", 0.02, "--at", "0.01,0.02", "--samples", 96, "--out")
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert run(*given, whole).returncode == 0
    done = 0
    for least in (1, 40, 80):  # killed three times, each time further on
        with subprocess.Popen([*COMMAND, *map(str, given), str(cut)], env=ENVIRONMENT) as process:
            while process.poll() is None and rows_of(cut) < least:
                time.sleep(0.01)
            process.kill()
        assert done < rows_of(cut) < 100
        done = rows_of(cut)
    result = run(*given, cut)
    assert result.returncode == 0, result.stderr
    tables = [
        [line.split("\t")[:5] for line in (each / "certified.tsv").read_text().splitlines()]
        for each in (whole, cut)
    ]
    assert tables[0] == tables[1]
    assert len(tables[0]) == 101


def test_logs_of_others_stand_beside_ours(finished, tmp_path):
    folder, _ = finished
    ids = [row.image for row in read_certified(folder)]
    lines = [f"{each}\t3\t3\t0.75\t1\t0:00:01" for each in ids[:2]]
    log = tmp_path / "cohen [0.25].tsv"
    log.write_text("idx\tlabel\tpredict\tradius\tcorrect\ttime\n" + "\n".join(lines) + "\n")
    given = ("--read", folder, "--read", log, "--at", "0.25,0.8", "--out", tmp_path / "both")
    result = inside(*given)
    assert result.exit_code == 0, result.stderr
    assert "2 images, those that all logs have" in result.stdout
    assert "cohen [0.25]" in result.stdout
    document = json.loads(inside(*given, "--json").stdout)
    assert document["logs"][1]["certified_accuracy"] == [1.0, 1.0, 0.0]
    assert document["radii"] == [0.0, 0.25, 0.8]
    names = sorted(path.name for path in (tmp_path / "both").iterdir())
    assert names == ["compared.json", "compared.png", "compared.svg"]


def test_help_says_what_is_certified():
    result = inside("--help")
    assert result.exit_code == 0
    for words in ("--sigma", "--samples", "--alpha", "8/255"):
        assert words in result.stdout


def test_the_curve_is_the_share_of_images_certified_at_each_radius():
    radii = [-1.0, 0.0, 0.2, 0.5, 0.5]
    figure = draw_certified({"ours": radii}, needed=("8/255", 7.7))
    (line,) = figure.axes[0].lines
    ends, shares = line.get_data()
    assert line.get_drawstyle() == "steps-pre"  # at its own radius an image counts
    np.testing.assert_allclose(ends, [0, 0.2, 0.5, 0.54])
    np.testing.assert_allclose(shares, [0.8, 0.6, 0.4, 0.0])
    (note,) = figure.axes[0].texts
    assert "needs 7.7" in note.get_text()  # off the picture
    near = draw_certified({"ours": radii}, needed=("8/255", 0.3))
    assert [line.get_label() for line in near.axes[0].lines] == ["ours", "8/255"]


@pytest.mark.parametrize("radii", [{}, {"ours": []}])
def test_a_curve_of_nothing_is_refused(radii):
    with pytest.raises(InputError, match="at least one"):
        draw_certified(radii)


def test_a_run_is_listed_and_has_a_page(finished, tmp_path):
    folder, document = finished
    listed = json.loads(CliRunner().invoke(app, ["runs", str(folder), "--json"]).stdout)
    (line,) = listed["runs"]
    assert (line["kind"], line["state"], line["rows"]) == ("certify", "done", 3)
    assert line["clean_accuracy"] == document["plain_accuracy"]
    assert line["defended_accuracy"] == [document["accuracy"]] * 2
    page = tmp_path / "page.html"
    result = CliRunner().invoke(app, ["report", str(folder), "--out", str(page)])
    assert result.exit_code == 0, result.stderr
    text = page.read_text()
    assert document["verdict"][:60] in text
    assert "Certified accuracy" in text


def test_an_image_that_fails_is_one_row(tmp_path):
    """Its number is beyond what this model was made for; the others are certified."""
    x = np.zeros((3, 32, 32, 3), np.float32)
    x[1] = np.nan
    np.savez(tmp_path / "one_nan.npz", x=x, y=np.zeros(3, np.int64))
    given = (*QUICK, "--at", "0.01", "--data", f"npz:{tmp_path / 'one_nan.npz'}")
    result = inside(*given, "--out", tmp_path / "run", "--json")
    assert result.exit_code == 0, result.stderr
    (failed,) = json.loads(result.stdout)["failed"]
    assert failed["image"] == 1
    assert "NaN" in failed["error"]
    assert [row.error is None for row in read_certified(tmp_path / "run")] == [True, False, True]
    page = tmp_path / "page.html"
    made = CliRunner().invoke(app, ["report", str(tmp_path / "run"), "--out", str(page)])
    assert made.exit_code == 0, made.stderr
    assert "1 image gave no answer and counts as an abstention" in page.read_text()
    listed = CliRunner().invoke(app, ["runs", str(tmp_path / "run"), "--json"])
    assert json.loads(listed.stdout)["runs"][0]["failed_images"] == 1


def test_equal_runs_export_equal_bytes(finished, tmp_path):
    """Seconds, which are never the same twice, are left out."""
    assert inside(*QUICK, "--out", tmp_path / "again").exit_code == 0
    files = []
    for folder in (finished[0], tmp_path / "again"):
        files.append(tmp_path / f"{len(files)}.csv")
        command = ["runs", "export", str(folder), "--out", str(files[-1])]
        assert CliRunner().invoke(app, command).exit_code == 0
    assert files[0].read_bytes() == files[1].read_bytes()
    assert files[0].read_text().startswith("image,label,plain,certified,radius,")
