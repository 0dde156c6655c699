"""Whole commands: killed and given again, by any executor, with an image that kills."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from bandlimiter.cli.main import app
from bandlimiter.data import load_data
from bandlimiter.results import Status
from bandlimiter.results.runs import StoredRun
from tests.cli.poison import POISON
from tests.results.runs.system_calls import require_watched_process

ROOT = Path(__file__).parents[2]
SMALL = ("--quick", "--threads", "1", "--shard-images", "2", "--attack", "fgsm")


def run(*arguments):
    code = "from bandlimiter.cli.main import app; app()"
    return subprocess.run(
        # -P: as for the installed command, the working folder is not on the path by itself.
        [sys.executable, "-P", "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
        timeout=300,
    )


def shards(folder):
    """Return what shards gave but their timings."""
    stored = StoredRun.open(folder)
    files = {path.name: path.read_bytes() for path in (folder / "shards").iterdir()}
    return {"rows": stored.rows(), "facts": [each.facts for each in stored.results()], **files}


@pytest.mark.endurance
def test_a_command_killed_anywhere_goes_on_as_if_nothing_had_been(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "tests.cli.killed_study", str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
        env=require_watched_process(tmp_path),
    )
    assert done.returncode == 0, done.stderr
    tried = json.loads(done.stdout.splitlines()[-1])
    assert tried["wrong"] == 0, done.stdout
    assert tried["tried"] == 6
    assert tried["calls"] > 100


@pytest.mark.endurance
def test_all_executors_give_the_same(tmp_path):
    pytest.importorskip("ray", reason="needs the extra ray")
    kinds = {
        "local": [],
        "processes": ["--executor", "processes", "--workers", 2],
        "ray": ["--executor", "ray", "--workers", 2, "--address", "local"],
    }
    common = ("evaluate", "--limit", 3, *SMALL, "--save-adversarial", "--stage", "transfer")
    found = {}
    for name, options in kinds.items():
        result = run(*common, *options, "--out", tmp_path / name, "--json")
        assert result.returncode == 0, result.stderr
        document = json.loads(result.stdout)
        found[name] = shards(tmp_path / name), document["results"], document["verdict"]
    assert found["local"] == found["processes"] == found["ray"]
    assert len(found["local"][0]) > 3


@pytest.mark.endurance
@pytest.mark.parametrize("executor", ["local", "processes"])
def test_an_image_that_kills_its_process_does_not_stop_the_run(tmp_path, executor):
    out = tmp_path / "run"
    command = (
        *("evaluate", "--model", "tests.cli.poison:build", "--scale", 0.226, "--radius", 6),
        *("--data", "sample", "--limit", 4, *SMALL, "--threat", "transfer"),
        *("--protocol", "fixed", "--executor", executor, "--out", out, "--json"),
        *(("--workers", 2) if executor == "processes" else ()),
    )
    result = run(*command)
    if executor == "local":  # nothing can save this process; the same command again knows better
        assert result.returncode == -signal.SIGKILL
        result = run(*command)
    assert result.returncode == 0, result.stderr
    document = json.loads(result.stdout)
    (error,) = document["failed"]["errors"]
    assert error == {"error": "its process was ended by SIGKILL", "images": [POISON]}
    assert "1 image gave no answer" in document["verdict"]
    rows = StoredRun.open(out).rows()
    assert sorted(row.image for row in rows) == list(range(4))
    assert [row.image for row in rows if row.status is Status.FAILED] == [POISON]
    page = tmp_path / "report.html"
    assert run("report", out, "--out", page).returncode == 0
    assert "its process was ended by SIGKILL" in page.read_text()


@pytest.mark.endurance
def test_an_image_that_kills_at_the_first_look_does_not_stop_the_run(tmp_path):
    """The first image is the one that models are tried on, before there is a run."""
    out = tmp_path / "run"
    images = load_data("sample").images(POISON, POISON + 2).permute(0, 2, 3, 1).numpy()
    np.savez(tmp_path / "poison_first.npz", x=images, y=load_data("sample").labels[POISON:][:2])
    command = (
        *("evaluate", "--model", "tests.cli.poison:build", "--scale", 0.226, "--radius", 6),
        *("--data", f"npz:{tmp_path / 'poison_first.npz'}", *SMALL, "--threat", "transfer"),
        *("--protocol", "fixed", "--out", out, "--json"),
    )
    ended = [run(*command) for _ in range(3)]
    assert [result.returncode for result in ended[:2]] == [-signal.SIGKILL] * 2
    assert ended[2].returncode == 0, ended[2].stderr
    assert json.loads(ended[2].stdout)["failed"]["errors"][0]["images"] == [0]


def test_a_changed_setting_is_refused_and_says_what_changed(tmp_path):
    runner = CliRunner()
    out = tmp_path / "run"
    common = ["evaluate", "--limit", "2", *SMALL, "--threat", "transfer", "--protocol", "fixed"]
    first = runner.invoke(app, [*common, "--out", str(out)])
    assert first.exit_code == 0, first.output
    before = shards(out)
    again = runner.invoke(app, [*common, "--out", str(out)])
    assert again.exit_code == 0
    assert shards(out) == before
    other = runner.invoke(app, [*common, "--out", str(out), "--epsilon", "4/255"])
    assert other.exit_code == 2
    assert other.stderr.count("\n") == 1
    assert "epsilon" in other.stderr
    assert shards(out) == before
