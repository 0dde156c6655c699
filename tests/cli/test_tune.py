"""``bandlimiter tune`` on the packaged model."""

import json

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from bandlimiter.cli.main import app as everything
from bandlimiter.cli.tune import tune
from bandlimiter.results.runs import StoredRun

pytest.importorskip("matplotlib")

QUICK = ("--limit", 6, "--directions", 1, "--refinements", 1, "--radii", "24,3")

app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode="rich")
app.command()(tune)


def run(*arguments):
    return CliRunner().invoke(app, [str(each) for each in arguments], env={"COLUMNS": "90"})


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    out = tmp_path_factory.mktemp("tuned") / "new" / "folder"
    result = run(*QUICK, "--choose-directions", "--most-differing", 0.3, "--out", out, "--json")
    assert result.exit_code == 0, result.stderr
    return out, json.loads(result.stdout)


def test_one_document_also_on_disk_with_its_picture(tuned):
    out, document = tuned
    assert document == json.loads((out / "tune.json").read_text())
    names = ["lock", "run.sqlite", "shards", "tune.json", "tune.png", "tune.svg"]
    assert sorted(path.name for path in out.iterdir()) == names
    assert Image.open(out / "tune.png").width > 1000


def test_the_run_is_listed_has_a_page_and_is_not_measured_again(tuned, tmp_path):
    out, document = tuned
    (line,) = json.loads(CliRunner().invoke(everything, ["runs", str(out), "--json"]).stdout)[
        "runs"
    ]
    assert (line["kind"], line["state"]) == ("tune", "done")
    assert line["clean_accuracy"] == document["plain_accuracy"]
    settings = 2 + 1 + 4  # radii, a refinement, K
    assert line["rows"] <= 6 * settings
    page = tmp_path / "page.html"
    result = CliRunner().invoke(everything, ["report", str(out), "--out", str(page)])
    assert result.exit_code == 0, result.stderr
    assert "What a radius costs" in page.read_text()
    before = StoredRun.open(out)
    options = ("--choose-directions", "--most-differing", 0.3, "--out", out, "--json")
    again = run(*QUICK, *options)
    assert json.loads(again.stdout) == document
    assert StoredRun.open(out).timings() == before.timings()
    other = run(*QUICK, *options, "--most-loss", 0.02)
    assert other.exit_code == 2
    assert "choice.most_loss: 0.01 -> 0.02" in other.stderr


def test_the_choice_follows_from_the_curve(tuned):
    _, document = tuned
    radii = [point["radius"] for point in document["curve"]]
    assert {0, 3, 24} < set(radii)
    kept = 0
    for point in document["curve"]:
        assert point["loss"] == pytest.approx((point["lost"] - point["gained"]) / 6, abs=1e-12)
        assert point["accuracy"] + point["loss"] == pytest.approx(document["plain_accuracy"])
        # ImageNet's std, which the sample model is normalised with.
        rms = ((0.229**2 + 0.224**2 + 0.225**2) / 3) ** 0.5
        assert point["radius_pixels"] == pytest.approx(point["radius"] * rms, rel=1e-6)
        if point["loss"] > document["most_loss"]:
            break
        kept = point["radius"]
    assert document["radius"] == kept < 24
    choice = document["directions"]
    fit = [p["directions"] for p in choice["points"] if p["differing"] <= 0.3 * 6]
    assert choice["chosen"] == min(fit)
    assert [p["directions"] for p in choice["points"]] == [6, 15, 30, 60]


def test_says_that_six_images_are_too_few_and_what_a_radius_does_not_promise(tuned):
    _, document = tuned
    assert any("6 images are too few" in warning for warning in document["warnings"])
    assert document["sure_radius"] == 0
    assert "attackers who know the defence break it" in document["caution"]
    assert "radius" not in document["settings"]


def test_tables_for_people():
    result = run("--limit", 6, "--directions", 1, "--refinements", 0, "--radii", "3",
                 "--vote", "logits")  # fmt: skip
    assert result.exit_code == 0, result.stderr
    for words in ("in pixels", "loss (95 % interval)", "3 *", "larger ones may", "no promise"):
        assert words in " ".join(result.stdout.split())
    assert "7.0" in result.stdout  # this vote cannot stop early


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--radii", "1;2"], "like 1,2,4"),
        (["--radii", "0,1"], "radii above 0"),
        (["--most-loss", "1"], "most_loss in [0, 1)"),
        (["--vote", "logits", "--stop", "exact"], "cannot stop early"),
        (["--model", "cifar-resnet20"], "weights"),
    ],
)
def test_refusals_are_one_line(arguments, words):
    result = run("--limit", 2, "--directions", 1, *arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert words in result.stderr


def test_help_says_what_a_larger_radius_is_not():
    result = run("--help")
    assert result.exit_code == 0
    for words in ("--most-loss", "--choose-directions", "not more robustness"):
        assert words in " ".join(result.stdout.split())
