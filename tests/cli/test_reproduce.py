"""`bandlimiter reproduce`: what it leaves, and what it refuses."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bandlimiter.cli.main import app
from bandlimiter.cli.reproduce.limits import read_limits
from bandlimiter.errors import ConfigurationError
from bandlimiter.results.runs import find_runs

RUNNER = CliRunner()
SMALL = ["--limit", "3", "--attack", "fgsm", "--quick"]


def run(*arguments):
    return RUNNER.invoke(app, ["reproduce", *map(str, arguments)])


def test_a_table_its_pictures_and_its_runs(tmp_path):
    result = run("table1", *SMALL, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert "the paper" in result.stdout
    assert "0.808" in result.stdout  # the paper's rate for FGSM, beside ours
    written = {path.name for path in (tmp_path / "table1").iterdir()}
    assert written == {"table1.json", "table1.md", "table1.png", "table1.svg"}
    assert "0.808" in (tmp_path / "table1" / "table1.md").read_text()
    kinds = sorted(path.name.partition("-")[0] for path in find_runs(tmp_path))
    assert kinds == ["answers", "attacks", "attacks"]  # smallest, and whole budget


def test_one_json_document(tmp_path):
    result = run("figure3", *SMALL, "--values", "2/255,8/255", "--out", tmp_path, "--json")
    document = json.loads(result.stdout)
    assert [point["epsilon"] for point in document["points"]] == [2 / 255, 8 / 255]
    assert document["experiment"] == "figure3"
    assert document["settings"]["threads"] >= 1
    assert document["settings"]["worker_seconds"] > 0
    assert all(Path(file).is_file() for file in document["files"])
    kept = json.loads((tmp_path / "figure3" / "figure3.json").read_text())
    assert kept == document


def test_figure1(tmp_path):
    result = run("figure1", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "figure1" / "figure1.png").is_file() or list(
        (tmp_path / "figure1").glob("*.png")
    )


def test_limits():
    assert read_limits(["300", "pgd=100", "cw=40"]) == (300, {"pgd": 100, "cw": 40})
    assert read_limits([]) == (None, {})
    for bad in (["0"], ["a"], ["pgd="], ["1", "2"], ["pgd=1", "pgd=2"], ["5", "pgd=6"]):
        with pytest.raises(ConfigurationError, match="limit"):
            read_limits(bad)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["table1", "--limit", "many"], "--limit like 300 or pgd=100"),
        (["table1", "--limit", "bim=3"], "attacks of fgsm, pgd, deepfool, cw"),
        (["table1", "--attack", "bim"], "attacks of fgsm, pgd, deepfool, cw"),
        (["table1", "--values", "1/255,2/255"], "one budget"),
        (["figure3", "--values", "2/255,2/255"], "each once"),
        (["figure3", "--values", "two"], "8/255"),
        (["figure2", "--values", "3,six"], "radii"),
        (["figure2", "--values", "-3"], "above 0"),
        (["table2", "--values", "6.5", *SMALL], "whole numbers"),
        (["figure2", "--executor", "slurm"], "local, processes, ray"),
        (["figure2", "--workers", "0"], "workers"),
    ],
)
def test_refusals_are_one_line(tmp_path, arguments, message):
    result = run(*arguments, "--out", tmp_path)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not find_runs(tmp_path)


def test_an_unknown_experiment(tmp_path):
    result = run("table3", "--out", tmp_path)
    assert result.exit_code == 2
    assert "table3" in result.stderr
