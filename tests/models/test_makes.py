"""Entry point times make of model: the eager network's answers, or one line that helps."""

import json
import sys
from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import bandlimiter
from bandlimiter.cli.main import app
from bandlimiter.defence import PostAverage, certify, tune_radius
from bandlimiter.errors import BandlimiterError, ConfigurationError
from bandlimiter.evaluation import Adaptive
from bandlimiter.geometry.graph import read_graph
from bandlimiter.geometry.tracing import trace_line
from bandlimiter.sampling import BoundaryDirections
from tests.models import makes

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")

IMAGES = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(1))
with torch.no_grad():
    LABELS = makes.eager()(IMAGES).argmax(dim=1)

# Softmax probabilities near 0.2 in bfloat16's 8 bits, over two layers; float16 is 8 times finer.
TOLERANCE = {"bfloat16": 0.01, "half": 0.002}

NO_FLOAT64 = ("frozen", "frozen-loaded", "optimised")
"""Their weights are constants of the program, which nothing can cast."""


def defended(model, **settings):
    return bandlimiter.PostAverage(model, 0.5, directions=1, scale=0.25, **settings)


def predict(model):
    return defended(model).predict(IMAGES).probabilities


def stop_early(model):
    return defended(model, vote="majority").predict(IMAGES, stop="exact").labels


def gradient(model):
    x = IMAGES.clone().requires_grad_()
    for _ in range(3):  # TorchScript is optimised between the first calls
        defended(model)(x)[:, 0].sum().backward()
    return x.grad


def certified(model):
    defence = PostAverage(model, sigma=0.02)
    return certify(defence, IMAGES, samples=50, selection=10, alpha=0.1).labels


def tuned(model):
    return tune_radius(defended(model), IMAGES, LABELS, radii=[1.0], refinements=1).radius


def traced(model):
    graph = read_graph(model, (3, 8, 8)).to("cpu", torch.float64)
    return trace_line(graph, IMAGES[0].double(), IMAGES[1].double()).t


def at_boundaries(model):
    return defended(model, sampler=BoundaryDirections(model)).predict(IMAGES).labels


def accelerated(model):
    return bandlimiter.accelerate(model, "float32", "eager", probe=IMAGES).model(IMAGES).softmax(1)


def evaluated(model):
    adaptive = Adaptive(stages=("square",), queries=10)
    found = bandlimiter.evaluate(
        model, defended(model), (IMAGES, LABELS), ["fgsm"], quick=True, adaptive=adaptive
    )
    assert [row.error for row in found.rows] == [None] * len(found.rows)
    return torch.tensor([row.plain_clean for row in found.rows])


CHEAP = (predict, gradient, certified, tuned)
COSTLY = (stop_early, traced, at_boundaries, accelerated, evaluated)
ENTRIES = {each.__name__: each for each in (*CHEAP, *COSTLY)}
FEW = ("scripted", "frozen-loaded", "optimised", "exported", "compiled", "traced-bfloat16")
"""One make of each kind that takes a way of its own, for what is costly."""


@cache
def wanted_of(entry):
    return torch.as_tensor(ENTRIES[entry](makes.eager()))


def refusal(entry, make):
    """Return what is said where this make cannot do this; None where it can."""
    if make in NO_FLOAT64 and entry in ("traced", "at_boundaries"):
        return "give the nn.Module itself"
    if make == "optimised" and entry in ("gradient", "evaluated"):
        return "gradient|does not require grad"
    return None


@pytest.mark.parametrize(
    ("entry", "make"),
    [
        (entry.__name__, make)
        for entries, several in ((CHEAP, makes.WORKING), (COSTLY, FEW))
        for entry in entries
        for make in several
    ],
)
def test_makes_answer_as_the_eager_network(entry, make):
    run, words = ENTRIES[entry], refusal(entry, make)
    if words is not None:
        # A backward call of one's own is PyTorch's, and so is its error.
        with pytest.raises((BandlimiterError, RuntimeError), match=words):
            run(makes.made(make))
        return
    model = makes.made(make)
    wanted, found = wanted_of(entry), torch.as_tensor(run(model))
    kind = make.partition("-")[2] or make
    loose = next((bound for name, bound in TOLERANCE.items() if name in (make, kind)), 1e-6)
    if entry == "traced" and loose > 1e-6:
        assert abs(len(found) - len(wanted)) < len(wanted) / 4  # of a network that is rounded
    elif entry == "gradient":
        # Float32's rounding over two layers; half precision keeps the direction.
        near = torch.nn.functional.cosine_similarity(found.flatten(), wanted.flatten(), dim=0)
        assert near > 1 - max(loose, 1e-6)
    else:
        torch.testing.assert_close(found, wanted, rtol=0, atol=loose, check_dtype=False)


@pytest.mark.parametrize("make", makes.REFUSED)
@pytest.mark.parametrize("entry", [name for name in ENTRIES if name != "gradient"])
def test_makes_are_refused_in_one_line(entry, make):
    model, words = makes.made(make), makes.REFUSED[make][1]
    with pytest.raises(ConfigurationError, match=words) as caught:
        ENTRIES[entry](model)
    assert "\n" not in str(caught.value)


@pytest.fixture
def inputs(tmp_path, monkeypatch):
    """A working directory with images, labels and a factory for each make."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("NO_COLOR", "1")
    np.savez("images.npz", x=IMAGES.numpy(), y=LABELS.numpy())
    pixels = (IMAGES[0].permute(1, 2, 0) * 255).round().byte().numpy()
    Image.fromarray(pixels).save("image.png")
    makes.factories(tmp_path)
    yield tmp_path
    sys.modules.pop("own_makes", None)


OURS = ("--scale", "0.25", "--directions", "1")
COMMANDS = {
    "predict": ("image.png", *OURS, "--radius", "0.5"),
    "certify": (
        "--data",
        "npz:images.npz",
        "--scale",
        "0.25",
        "--radius",
        "0.5",
        "--samples",
        "50",
    ),
    "tune": ("--data", "npz:images.npz", *OURS, "--radii", "1", "--refinements", "1"),
    "trace": ("--data", "npz:images.npz", "--scale", "0.25", "--random", "--length", "0.1"),
    "evaluate": (
        *("--data", "npz:images.npz", *OURS, "--radius", "0.5", "--attack", "fgsm", "--quick"),
        *("--threat", "transfer", "--out", "run"),
    ),
    "reproduce": (
        *("table1", "--data", "npz:images.npz", "--scale", "0.25", "--radius", "0.5", "--limit"),
        *("2", "--attack", "fgsm", "--quick"),
    ),
}


def command(name, make):
    first = COMMANDS[name]
    model = f"own_makes.py:{make.replace('-', '_')}"
    return CliRunner().invoke(app, [name, *first, "--model", model, "--json"])


@pytest.mark.parametrize(
    ("name", "make"),
    [
        *(
            ("predict", make)
            for make in ("scripted", "frozen", "exported", "compiled", "bfloat16", "half")
        ),
        *((name, make) for name in ("certify", "tune") for make in ("scripted", "exported")),
        *(("trace", make) for make in ("frozen", "exported")),
        *(("evaluate", make) for make in ("scripted", "exported", "half")),
        pytest.param("reproduce", "exported", marks=pytest.mark.slow),
    ],
)
@pytest.mark.usefixtures("inputs")
def test_commands_take_them(name, make):
    result = command(name, make)
    if name == "trace" and make in NO_FLOAT64:
        assert result.exit_code == 2
        assert "give the nn.Module itself" in result.stderr
        return
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)


@pytest.mark.parametrize("make", ["program", "fx-in-training", "scripted-in-training"])
@pytest.mark.usefixtures("inputs")
def test_a_function_s_model_is_put_in_eval_mode_and_its_program_taken_by_its_module(make):
    assert command("predict", make).exit_code == 0


@pytest.mark.parametrize(
    ("name", "make"),
    [
        *(("predict", make) for make in ("one-size", "traced-in-training", "meta", "no-module")),
        *((name, "one-size") for name in ("certify", "tune", "trace", "evaluate")),
    ],
)
@pytest.mark.usefixtures("inputs")
def test_commands_refuse_them_in_one_line(name, make):
    result = command(name, make)
    assert result.exit_code == 2
    (line,) = result.stderr.strip().splitlines()[-1:]
    assert line.startswith("error: ")
    assert "Traceback" not in result.stderr
