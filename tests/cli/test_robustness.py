"""`bandlimiter evaluate` on a Gaussian average: certified below attacked accuracy."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bandlimiter.cli.main import app
from bandlimiter.results import NONE, OURS
from bandlimiter.results.runs import StoredRun

SMALL = ("evaluate", "--sigma", "0.06", "--limit", "2", "--quick", "--draws", "2", "--steps", "2")
SMALL = (*SMALL, "--samples", "200", "--votes", "64", "--threads", "1")


def run(*arguments: object) -> object:
    return CliRunner().invoke(app, [str(each) for each in arguments])


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    out = tmp_path_factory.mktemp("robust") / "run"
    given = ("--at", "0.03,0.1,0.5", "--linf", "1/255", "--curve", "--out", out, "--json")
    result = run(*SMALL, *given)
    assert result.exit_code == 0, result.output
    return out, json.loads(result.stdout)


def test_both_sides_stand_on_the_same_images(kept: tuple[Path, dict]) -> None:
    out, document = kept
    points = document["curves"][OURS]["l2"]
    assert [point["budget"] for point in points] == [0.0, 0.03, 0.1, 0.5]
    for point in points:
        assert point["images"] == 2
        assert point.get("certified_accuracy", 0) <= point["attacked_accuracy"]
    assert "certified_accuracy" not in points[-1]  # beyond what 200 samples reach
    clean, linf = document["curves"][NONE]["linf"]
    assert clean["budget"] == 0
    assert linf["budget"] == 1 / 255
    assert "certified_accuracy" not in linf
    assert set(document["smallest"]) == {OURS, NONE}
    assert document["settings"]["vote"] == "majority"
    assert StoredRun.open(out).kind == "robustness"
    assert json.loads((out / "robustness.json").read_text())["verdict"] == document["verdict"]
    assert (out / "robust_accuracy.png").stat().st_size > 10_000


def test_the_same_command_goes_on_and_other_budgets_are_refused(
    kept: tuple[Path, dict],
) -> None:
    out, document = kept
    given = (*SMALL, "--at", "0.03,0.1,0.5", "--linf", "1/255", "--out", out, "--json")
    again = run(*given, "--curve")
    assert {**json.loads(again.stdout), "seconds": 0} == {**document, "seconds": 0}
    other = run(*given)
    assert other.exit_code == 2
    assert other.stderr.count("\n") == 1
    assert "smallest" in other.stderr


def test_the_terminal_says_the_verdict_first(kept: tuple[Path, dict]) -> None:
    out, document = kept
    given = ("--at", "0.03,0.1,0.5", "--linf", "1/255", "--curve", "--out", out)
    shown = run(*SMALL, *given).stdout
    assert " ".join(shown.split()).startswith(document["verdict"])
    assert "Certified and attacked accuracy" in shown
    assert "Smallest L-inf budgets" in shown


def test_reports_and_lists_know_such_runs(kept: tuple[Path, dict], tmp_path: Path) -> None:
    out, _document = kept
    page = tmp_path / "page.html"
    written = run("report", out, "--out", page, "--tables", tmp_path / "tables")
    assert written.exit_code == 0, written.output
    text = page.read_text()
    assert "Certified and attacked accuracy" in text
    assert "the average, certified" in text
    names = {path.name for path in (tmp_path / "tables").rglob("*.csv")}
    assert any("robust-l2" in name for name in names)
    assert "robustness" in run("runs", out).stdout


def test_other_models_and_baselines_stand_beside() -> None:
    beside = ("--beside", "sample", "--beside", "trained:=sample-hardened", "--baseline", "ball")
    beside = (*beside, "--baseline", "bit-depth")
    result = run(*SMALL, "--at", "0.1", "--linf", "none", *beside, "--json")
    assert result.exit_code == 0, result.output
    curves = json.loads(result.stdout)["curves"]
    certified = {name: "certified_accuracy" in each["l2"][0] for name, each in curves.items()}
    assert certified == {
        OURS: True,
        NONE: False,
        "ball": True,
        "bit-depth": False,
        "sample": False,
        "trained": True,
    }


def test_named_threats_and_attacks_are_the_other_evaluation() -> None:
    given = ("evaluate", "--sigma", "0.06", "--limit", "1", "--quick", "--directions", "1")
    result = run(*given, "--threat", "transfer", "--attack", "fgsm", "--json")
    assert "results" in json.loads(result.stdout)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--at", "0.1"), "expected --at, --linf and --beside with"),
        (("--sigma", "0.1", "--threat", "adaptive", "--at", "0.1"), "expected --at, --linf"),
        (("--sigma", "0.1", "--at", "0.1,x"), "expected --at like 0.25,0.5"),
        (("--sigma", "0.1", "--at", "none"), "at least one L2 radius"),
        (("--sigma", "0.1", "--at", "0.3,0.2"), "increasing at"),
        (("--sigma", "0.1", "--linf", "2"), "expected linf in (0, 1]"),
        (("--sigma", "0.1", "--votes", "0"), "at least one vote"),
        (("--sigma", "0.1", "--beside", "sample", "--beside", "sample"), "once"),
        (("--sigma", "0.1", "--beside", "sampel"), "sampel"),
        (("--sigma", "0.1", "--beside", ":=sample"), "expected --beside [NAME:=]MODEL"),
        (("--sigma", "0.1", "--at", "0.1", "--vote", "logits"), "to certify"),
        (("--sigma", "0.1", "--at", "0.1", "--epsilon", "4/255"), "expected no --epsilon"),
        (("--sigma", "0.1", "--save-adversarial", "--out", "x"), "expected no --save-adversarial"),
        (("--sigma", "0.1", "--shard-images", "0"), "at least one image per shard"),
        (("--sigma", "0.1", "--stage", "pgd"), "without a form in l2"),
        (("--sigma", "0.1", "--draw"), "expected --draw with --out"),
        (("--draw", "--out", "x", "--protocol", "fixed"), "expected --draw with --out"),
    ],
)
def test_wrong_arguments_are_one_line(given: tuple[str, ...], words: str) -> None:
    result = run("evaluate", "--limit", "1", *given)
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert words in result.stderr
