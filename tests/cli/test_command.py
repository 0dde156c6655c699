"""The command as a person meets it: help, JSON, one-line errors, Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from typer.testing import CliRunner

from bandlimiter.cli.main import app
from bandlimiter.cli.options import parse_epsilon
from bandlimiter.errors import ConfigurationError, LoadError
from bandlimiter.models import CifarResNet
from bandlimiter.results import read_rows

COMMAND = [sys.executable, "-c", "from bandlimiter.cli.main import app; app()"]
ENVIRONMENT = {**os.environ, "COLUMNS": "100", "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}


def run(*arguments, **options):
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        timeout=300,
        check=False,
        **options,
    )


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ([], ["demo", "evaluate", "predict"]),
        (["demo"], ["packaged"]),
        (["evaluate"], ["8/255", "minimal", "fixed", "bandlimiter evaluate --limit"]),
        (["predict"], ["IMAGE"]),
    ],
)
def test_help_teaches(command, words):
    result = run(*command, "--help")
    assert result.returncode == 0
    assert "Usage" in result.stdout
    for word in words:
        assert word in result.stdout


def test_help_does_not_load_torch():
    code = (
        "import sys; from bandlimiter.cli.main import app\n"
        "try: app(['evaluate', '--help'])\n"
        "except SystemExit: print('torch' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT, check=True
    )
    assert result.stdout.strip().endswith("False")


def test_evaluate_prints_one_json_document_and_nothing_else(tmp_path):
    out = tmp_path / "run"
    result = run(
        *("evaluate", "--limit", 3, "--attack", "fgsm", "--protocol", "both"),
        *("--directions", 2, "--json", "--out", out, "--quick"),
    )
    assert result.returncode == 0, result.stderr
    document = json.loads(result.stdout)
    assert {"settings", "clean", "results", "worst_case", "verdict"} <= set(document)
    assert document["settings"]["radius"] == 6
    assert document["settings"]["evaluations"] == 13
    results = [(r["attack"], r["protocol"], r["threat"]) for r in document["results"]]
    assert results == [
        ("fgsm", "minimal", "transfer"),
        ("fgsm", "fixed", "transfer"),
        ("cascade", "fixed", "adaptive"),
    ]
    # The plain model faces the cascade too.
    assert len(read_rows(out)) == 3 * (2 + 1) + 3


def test_targeted_attacks_say_so(tmp_path):
    (tmp_path / "t.csv").write_text("image,target\n" + "".join(f"{i},0\n" for i in range(9)))
    common = ("evaluate", "--limit", 3, "--directions", 1, "--quick", "--threat", "adaptive")
    result = run(*common, "--json", "--targets", tmp_path / "t.csv", "--stage", "apgd")
    assert result.returncode == 0, result.stderr
    document = json.loads(result.stdout)
    assert document["settings"]["targets"].startswith("given ")
    assert [line["defence"] for line in document["targeted"]] == ["post-averaging", "none"]
    assert "untargeted attacks leave is not shown" in document["verdict"]
    told = run(*common, "--targets", "next", "--stage", "apgd")
    assert "target reached (next)" in told.stdout


def test_saved_images_are_judged_again_by_the_command(tmp_path):
    common = ("evaluate", "--subset", 4, "--directions", 2, "--json")
    transfer = ("--threat", "transfer")
    first = run(
        *(*common, *transfer, "--attack", "fgsm", "--protocol", "minimal", "--quick"),
        *("--save-adversarial", "--out", tmp_path / "run"),
    )
    assert first.returncode == 0, first.stderr
    file = tmp_path / "run" / "adversarial-fgsm-minimal.safetensors"
    again = run(*common, "--adversarial", file)
    assert again.returncode == 0, again.stderr
    (before,), (after,) = (json.loads(r.stdout)["results"] for r in (first, again))
    assert after["defence_rate"] == before["defence_rate"]
    assert after["quick"] is True


@pytest.mark.slow
def test_demo_prints_the_paper_s_table_and_a_sentence():
    result = run("demo", "--limit", 2)
    assert result.returncode == 0, result.stderr
    for word in ("minimal", "(quick)", "the paper", "DeepFool", "The defence brings back"):
        assert word in result.stdout
    said = " ".join(result.stdout.split())
    assert "The paper's averaging keeps 0.00 under these attacks." in said
    assert (
        "(sample-hardened), averaged over Gaussian noise of sigma 0.25, is proven to keep" in said
    )


def test_what_a_factory_prints_does_not_spoil_the_json(tmp_path):
    (tmp_path / "chatty.py").write_text(
        "from torch import nn\n"
        "def build():\n"
        "    print('Loaded pretrained weights')\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(3072, 10))\n"
    )
    common = ("--model", "chatty:build", "--radius", 1, "--scale", 1, "--directions", 1, "--json")
    result = run(
        *("evaluate", *common, "--data", "sample", "--limit", 2, "--attack", "fgsm"),
        *("--protocol", "fixed", "--quick"),
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["settings"]["scale"] == 1
    assert "Loaded pretrained" in result.stderr


def test_predict_names_classes_plain_and_defended(photos, tmp_path):
    paths = []
    for i in range(2):
        pixels = (photos.images(i, i + 1)[0].permute(1, 2, 0).numpy() * 255).round()
        paths.append(tmp_path / f"{i}.png")
        Image.fromarray(pixels.astype(np.uint8)).save(paths[-1])
    table = run("predict", *paths)
    assert table.returncode == 0, table.stderr
    assert "cat" in table.stdout
    assert "ship" in table.stdout
    answers = json.loads(run("predict", *paths, "--json").stdout)["predictions"]
    assert [answer["defended"]["name"] for answer in answers] == ["cat", "ship"]
    assert all(0 < answer["plain"]["score"] <= 1 for answer in answers)
    assert all(answer["defended"]["evaluations"] == 91 for answer in answers)
    looking = run("predict", *paths, "--json", "--sampler", "boundary", "--directions", 3)
    document = json.loads(looking.stdout)
    assert document["settings"]["sampler"] == "boundary"
    assert [answer["defended"]["name"] for answer in document["predictions"]] == ["cat", "ship"]


@pytest.mark.slow
def test_an_evaluation_may_use_a_compiled_copy_around_which_boundaries_are_the_model_s(tmp_path):
    options = ["--limit", 2, "--attack", "fgsm", "--quick", "--directions", 1, "--json"]
    transfer = ["--threat", "transfer"]
    result = run("evaluate", *options, *transfer, "--accelerate", "--sampler", "boundary")
    assert result.returncode == 0, result.stderr
    settings = json.loads(result.stdout)["settings"]
    assert settings["acceleration"]["agreement"] == 1
    assert settings["sampler"] == "boundary"


@pytest.mark.slow
def test_a_compiled_copy_may_answer_for_the_defence_and_is_described(photos, tmp_path):
    path = tmp_path / "cat.png"
    pixels = (photos.images(0, 1)[0].permute(1, 2, 0).numpy() * 255).round()
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    result = run("predict", path, "--accelerate", "--stop", "anytime", "--json")
    assert result.returncode == 0, result.stderr
    document = json.loads(result.stdout)
    copy = document["settings"]["acceleration"]
    assert copy["agreement"] >= 0.98
    assert copy["score_error"] <= 0.2
    assert set(copy) == {"agreement", "score_error", "backend", "dtype"}
    assert document["settings"]["stop"] == "anytime"
    defended = document["predictions"][0]["defended"]
    assert defended["name"] == "cat"
    assert defended["evaluations"] < 91


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Files that are wrong in every way."""
    folder = tmp_path_factory.mktemp("bad")
    x, y = np.zeros((2, 32, 32, 3), np.float32), np.array([0, 1])
    np.savez(folder / "range.npz", x=x + 255, y=y)
    np.savez(folder / "nan.npz", x=x * np.nan, y=y)
    np.savez(folder / "grey.npz", x=x[..., :1], y=y)
    np.savez(folder / "labels.npz", x=x, y=y + 10)
    np.savez(folder / "empty.npz", x=x[:0], y=y[:0])
    save_file(CifarResNet(32).state_dict(), folder / "resnet32.safetensors")
    whole = folder / "whole.pt"
    torch.save(CifarResNet(20).state_dict(), whole)
    (folder / "truncated.pt").write_bytes(whole.read_bytes()[:100_000])
    torch.save({"state_dict": CifarResNet(20)}, folder / "code.pt")
    return folder


def require_one_line(arguments, message):
    """In this process, as each start of the command loads torch."""
    result = CliRunner().invoke(app, ["evaluate", *arguments])
    assert result.exit_code == 2
    assert result.stdout == ""
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("error: ")
    assert message in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "npz:{}/missing.npz"], "found none"),
        (["--targets", "next", "--attack", "deepfool"], "fgsm, pgd, cw, apgd"),
        (["--targets", "second"], "least-likely, next, or a file"),
        (["--targets", "{}/missing.csv"], "a file of targets that exists"),
        (["--data", "npz:{}/range.npz"], "pixels in [0, 1]"),
        (["--data", "npz:{}/nan.npz"], "without NaN"),
        (["--data", "npz:{}/labels.npz"], "labels from 0 to 9"),
        (["--data", "npz:{}/empty.npz"], "at least one image"),
        (["--limit", "0"], "at least one image"),
        (["--model", "cifar-resnet20", "--weights", "{}/missing.pt"], "found none"),
        (["--model", "cifar-resnet20", "--weights", "{}/truncated.pt"], "damaged"),
        (["--model", "cifar-resnet20", "--weights", "{}/code.pt"], "run the file's code"),
        (["--model", "cifar-resnet20", "--weights", "{}/resnet32.safetensors"], "architecture"),
        (["--model", "resnet"], "expected a model of"),
        (["--radius", "-1"], "radius"),
        (["--directions", "0"], "direction"),
        (["--attack", "pgdd"], "an attack of fgsm, pgd, deepfool, cw"),
        (["--protocol", "maximal"], "minimal, fixed or both"),
        (["--epsilon", "8/0"], "epsilon like 8/255"),
        (["--epsilon", "8"], "epsilon in (0, 1]"),
        (["--sampler", "cube"], "sphere, gaussian, boundary; got 'cube'"),
        (["--vote", "loudest"], "a vote of softmax"),
        (["--stop", "soon"], "stop auto, never, exact or anytime; got 'soon'"),
        (["--stop", "anytime", "--alpha", "2"], "alpha in (0, 1)"),
        (["--alpha", "0.01"], "--stop anytime with --alpha"),
        (["--stop", "exact", "--vote", "logits"], "cannot stop early"),
        (["--stop", "soon", "--accelerate"], "stop auto, never, exact or anytime"),
        (["--device", "abacus"], "device"),
        (["--device", "meta"], "device"),
        (["--out", "{}/nan.npz"], "folder"),
        (["--model", "cifar-resnet20", "--weights", "{}"], "found none"),
        (["--data", "npz:{}/grey.npz"], "3 channels"),
        (["--adversarial", "{}/nan.npz"], "safetensors"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(files, arguments, message):
    filled = [argument.replace("{}", str(files)) for argument in arguments]
    defaults = [] if "--limit" in arguments else ["--limit", "2"]
    protocol = [] if "--protocol" in arguments else ["--protocol", "fixed"]
    attack = [] if "--attack" in arguments else ["--attack", "fgsm"]
    require_one_line([*filled, *defaults, *protocol, *attack], message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--threat", "nobody"], "a threat of transfer, adaptive, both; got 'nobody'"),
        (["--stage", "apgdd"], "stages of transfer, pgd, apgd, apgd-dlr, square, each once"),
        (["--stage", "apgd", "--stage", "apgd"], "each once; got apgd, apgd"),
        (["--draws", "0"], "draws and redraws of at least 1, got 0"),
        (["--redraws", "-1"], "redraws of 0 or more, got -1"),
        (["--steps", "0"], "at least one step"),
        (["--restarts", "0"], "at least one step and one start"),
        (["--queries", "0"], "at least one query"),
        (["--broken-share", "2"], "broken share in (0, 1], got 2"),
        (["--norm", "l3"], "a norm of linf, l2; got 'l3'"),
        (["--norm", "l2"], "choose the threat adaptive alone"),
        (["--norm", "l2", "--threat", "adaptive", "--curve"], "norm linf for smallest budgets"),
        (["--norm", "l2", "--threat", "adaptive", "--epsilon", "99"], "epsilon in (0, 55.43]"),
        (["--baseline", "clown"], "a baseline of one-neighbour"),
        (["--baseline", "ball", "--baseline", "ball"], "got 'ball' twice"),
        (["--epsilon", "2"], "epsilon in (0, 1]"),
    ],
)
def test_bad_options_of_attacks_are_one_line_and_exit_code_2(arguments, message):
    require_one_line(["--limit", "2", *arguments], message)


def test_debug_shows_the_traceback():
    result = run("evaluate", "--radius", "-1", "--debug")
    assert result.returncode != 0
    assert "Traceback" in result.stderr


def test_an_unknown_option_is_exit_code_2():
    result = run("evaluate", "--atack", "pgd")
    assert result.returncode == 2
    assert "No such option" in result.stderr


def pressing_ctrl_c(process):
    """Press Ctrl-C as a person does, again where nothing follows; return what stderr says.

    Python drops an interrupt that comes in while an object is being destroyed.
    """
    for _ in range(4):
        process.send_signal(signal.SIGINT)
        try:
            return process.communicate(timeout=45)[1]
        except subprocess.TimeoutExpired:
            continue
    process.kill()
    raise AssertionError("Ctrl-C was pressed four times, and nothing came of it")


def rows_so_far(run):
    """Return what a run holds, nothing where it has not begun."""
    try:
        return read_rows(run)
    except LoadError:
        return []


def test_ctrl_c_keeps_the_rows_and_says_where_they_are(tmp_path):
    out = tmp_path / "run"
    process = subprocess.Popen(
        [*COMMAND, "evaluate", "--threat", "transfer", "--protocol", "fixed", "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    deadline = time.monotonic() + 120
    while not rows_so_far(out):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    message = pressing_ctrl_c(process)
    assert process.returncode == 130
    kept = read_rows(out)
    assert kept
    assert f"the {len(kept)} rows so far are in {out}; the same command again goes on" in message


def test_epsilon_is_read_as_a_fraction_or_a_number():
    assert parse_epsilon("8/255") == 8 / 255
    assert parse_epsilon("0.03") == 0.03
    for text in ("", "a", "1/", "1/2/3"):
        with pytest.raises(ConfigurationError):
            parse_epsilon(text)
