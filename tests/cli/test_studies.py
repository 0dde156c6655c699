"""``bandlimiter regions`` and ``bandlimiter spectrum`` on trained and on given networks."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.special import j1
from typer.testing import CliRunner

from bandlimiter.cli.files import write_csv
from bandlimiter.cli.main import app
from bandlimiter.models import load_perceptron

pytest.importorskip("matplotlib")

FACTORIES = """
import torch
from torch import nn

def network(inputs, *layers):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(inputs, 6), *layers, nn.Linear(6, 2)).eval()

def line(): return network(1, nn.ReLU())
def space(): return network(3, nn.ReLU())
def five(): return network(5, nn.ReLU())
def smooth(): return network(2, nn.Sigmoid())
def affine(): return nn.Sequential(nn.Linear(2, 2)).eval()
def zero():
    module = network(2, nn.ReLU())
    nn.init.zeros_(module[2].weight), nn.init.zeros_(module[2].bias)
    return module
def single():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 6), nn.ReLU(), nn.Linear(6, 1)).eval()
def broken():
    module = network(2, nn.ReLU())
    module[0].weight.data[0, 0] = float("nan")
    return module
"""

TRAIN = ["--widths", "6,6", "--points", "60", "--epochs", "200"]


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def rows(path):
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def here(tmp_path, monkeypatch):
    (tmp_path / "study_networks.py").write_text(FACTORIES)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_regions_counts_draws_and_lists(here):
    result = run("regions", *TRAIN, "--save", "net.safetensors", "--out", "out", "--json")
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert document == json.loads((here / "out" / "regions.json").read_text())
    table = rows(here / "out" / "regions.csv")
    assert len(table) == document["regions"]["count"] > 10
    # The default box is [-1.5, 1.5]^2; volumes are sums of a few rounded determinants.
    assert sum(float(row["volume"]) for row in table) == pytest.approx(9, rel=1e-12)
    assert sum(int(row["points"]) for row in table) == 60
    without = sum(row["points"] == "0" for row in table)
    assert document["regions"]["without_points"] == without > 0
    assert Image.open(here / "out" / "regions.png").width > 1000

    # The step is from a point that is classified as labelled, of the length asked for.
    step = document["step"]
    network = load_perceptron("net.safetensors").double()
    ends = torch.tensor([step["from"], step["to"]], dtype=torch.float64)
    assert step["length"] == pytest.approx(0.15, rel=1e-12)
    np.testing.assert_allclose(network(ends).detach().numpy(), step["outputs"], rtol=1e-12)
    for layer, crossed in step["crossings"].items():
        assert (crossed - step["flips"][layer]) % 2 == 0

    # The saved file is the network that was studied.
    again = run("regions", "--network", "net.safetensors", "--lower", "-1.5", "--upper", "1.5",
                "--out", "again", "--json")  # fmt: skip
    assert json.loads(again.stdout)["regions"]["count"] == document["regions"]["count"]


def test_listed_maps_are_the_network_s(here):
    run("regions", *TRAIN, "--save", "net.safetensors", "--out", "out")
    network = load_perceptron("net.safetensors").double()
    x = np.random.default_rng(0).uniform(-1.5, 1.5, (500, 2))
    y = network(torch.tensor(x)).detach().numpy()
    table = rows(here / "out" / "regions.csv")
    weights = np.array(
        [[[float(r[f"weight_{m}_{i}"]) for i in range(2)] for m in range(2)] for r in table]
    )
    biases = np.array([[float(r[f"bias_{m}"]) for m in range(2)] for r in table])
    all_maps = np.einsum("rmi,pi->prm", weights, x) + biases
    # One of the listed maps gives the network's value at each point, to rounding.
    nearest = np.abs(all_maps - y[:, None]).max(axis=2).min(axis=1)
    assert nearest.max() < 1e-12


def test_regions_of_a_line_and_of_space_are_counted_without_a_picture(here):
    for name, dim in (("line", 1), ("space", 3)):
        result = run("regions", "--network", f"study_networks:{name}", "--out", name)
        assert result.exit_code == 0, result.stderr
        assert "no picture: pictures are of two inputs" in result.stdout
        volume = sum(float(row["volume"]) for row in rows(here / name / "regions.csv"))
        assert volume == pytest.approx(2**dim, rel=1e-12)


def test_spectrum_states_the_transform_and_both_averages(here):
    result = run(
        *("spectrum", *TRAIN, "--save", "net.safetensors", "--radius", 0.2, "--out", "out"),
        *("--highest", 20, "--plane", 30, "--grid", 31, "--output", 1, "--json"),
    )
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert document["floor"] == pytest.approx(91**-0.5)
    plane = rows(here / "out" / "plane.csv")
    assert len(plane) == 31 * 31
    for name in ("plane.png", "plane.svg", "radial.png", "radial.svg", "radial.csv"):
        assert (here / "out" / name).stat().st_size > 1000

    # |F(0)| is the integral over 2 pi, here by a midpoint rule that knows no regions:
    # with 1,500^2 points a piecewise linear function is off by less than 1e-5.
    network = load_perceptron("net.safetensors").double()
    g = (np.arange(1500) + 0.5) / 1500 * 3 - 1.5
    x = torch.tensor(np.stack(np.meshgrid(g, g), axis=-1).reshape(-1, 2))
    with torch.no_grad():
        integral = float(network(x)[:, 1].mean()) * 9
    centre = next(r for r in plane if float(r["frequency_1"]) == float(r["frequency_2"]) == 0)
    assert float(centre["plain"]) == pytest.approx(abs(integral) / (2 * np.pi), rel=1e-4)

    # The ball's column is eq. 6, mended: 2 J_1(z) / z in the plane.
    for row in plane[::7]:
        z = 0.2 * np.hypot(float(row["frequency_1"]), float(row["frequency_2"]))
        gain = abs(2 * j1(z) / z) if z else 1.0
        assert float(row["ball"]) == pytest.approx(gain * float(row["plain"]), abs=1e-12)
        assert float(row["directions (K = 15)"]) <= float(row["plain"])


@pytest.mark.parametrize("name", ["line", "space"])
def test_spectrum_of_other_dimensions(here, name):
    result = run(
        *("spectrum", "--network", f"study_networks:{name}", "--highest", 10, "--grid", 5),
        *("--directions", 2, "--out", "out"),
    )
    assert result.exit_code == 0, result.stderr
    assert (here / "out" / "plane.csv").exists() == (name == "space")
    assert "decay exponent" in result.stdout


@pytest.mark.parametrize("name", ["affine", "zero"])
def test_nothing_that_bends_is_said_to_decay(here, name):
    result = run(
        *("spectrum", "--network", f"study_networks:{name}", "--highest", 200, "--grid", 5),
        *("--out", "out", "--json"),
    )
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert set(document["decay_exponents_kinks"].values()) == {None}
    assert (document["gain"]["ball"] is None) == (name == "zero")
    assert (document["decay_exponents"]["plain"] is None) == (name == "zero")
    # One output and no labels to go by: no step, and the command says so.
    assert "give --from and --to" in run("regions", "--network", "study_networks:affine").stdout


def test_tables_are_written_whole_or_not_at_all(here):
    def rows():
        yield [1.0]
        raise OSError("no space left")

    (here / "table.csv").write_text("before")
    with pytest.raises(OSError, match="no space"):
        write_csv(here / "table.csv", ["x"], rows())
    assert (here / "table.csv").read_text() == "before"
    assert not list(here.glob("*.part"))


def test_a_box_smaller_than_a_wave(here):
    result = run(
        *("spectrum", "--network", "study_networks:space", "--lower", "-0.1", "--upper", "0.1"),
        *("--highest", 10, "--grid", 5, "--out", "out", "--json"),
    )
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert set(document["decay_exponents"].values()) == {None}  # far from any limit


def test_one_output_has_no_boundary_to_step_to(here):
    result = run("regions", "--network", "study_networks:single", "--data", "moons")
    assert result.exit_code == 0, result.stderr
    assert "no step from A to B: give --from and --to" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["regions", "--network", "study_networks:five"], "1 to 4 inputs, got 5"),
        (["regions", "--network", "study_networks:smooth"], "got Sigmoid (layer 1)"),
        (["regions", "--network", "study_networks:broken"], "the layer 0 holds NaN"),
        (["regions", "--network", "none.pt"], "found none at none.pt"),
        (["regions", "--network", "study_networks:space", "--data", "moons"], "got 3"),
        (["regions", "--network", "study_networks:line", "--save", "x.safetensors"], "--save"),
        (["regions", "--network", "study_networks:space", "--from", "0,0,0"], "--to together"),
        (["regions", "--data", "stars"], "got 'stars'"),
        (["regions", "--widths", "a,b"], "--widths like 16,16"),
        (["regions", "--activation", "tanh"], "got 'tanh'"),
        (["regions", *TRAIN, "--lower", "1", "--upper", "0"], "lower < upper"),
        (["regions", *TRAIN, "--lower", "inf"], "bounded box"),
        (["regions", *TRAIN, "--upper", "1,1,1"], "upper with 2 numbers"),
        (["regions", *TRAIN, "--limit", "3"], "at most 3 regions"),
        (["regions", *TRAIN, "--from", "a"], "--from as numbers"),
        (["regions", *TRAIN, "--from", "1"], "a point of 2 numbers, got 1"),
        (["regions", *TRAIN, "--from", "0,0", "--to", "0,0"], "two different points"),
        (["regions", *TRAIN, "--step", "0"], "--step above 0"),
        (["regions", *TRAIN, "--step", "nan"], "--step above 0"),
        (["regions", *TRAIN, "--out", "study_networks.py"], "--out to name a folder"),
        (["spectrum", *TRAIN, "--highest", "1e7"], "lower the highest one"),
        (["spectrum", *TRAIN, "--output", "2"], "from 0 to 1, got 2"),
        (["spectrum", "--grid", "1"], "--grid of 2"),
        (["spectrum", "--highest", "1"], "--highest of 10"),
        (["spectrum", "--plane", "0"], "--plane above 0"),
        (["spectrum", *TRAIN, "--radius", "-1"], "finite radius"),
        (["spectrum", *TRAIN, "--sampler", "dice"], "got 'dice'"),
        (["spectrum", *TRAIN, "--directions", "0"], "at least one direction"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(here, arguments, message):
    result = run(*arguments)
    assert result.exit_code == 2, result.stdout
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert message in line
