"""``bandlimiter trace``: lines and planes from the command, as the library traces them."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from bandlimiter.attacks import AttackedModel, build_attack
from bandlimiter.cli.main import app
from bandlimiter.geometry.tracing import count_flips, trace_line, trace_plane
from bandlimiter.tensors import generator

pytest.importorskip("matplotlib")

FACTORIES = """
import torch
from torch import nn
from bandlimiter.tensors import Normalise, generator

def network(*last):
    layers = nn.Sequential(
        Normalise([0.5, 0.4, 0.3], [0.2, 0.25, 0.3]),
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(64, 8), nn.ReLU6(), nn.Linear(8, 3), *last)
    stream = generator(1, "factory")
    with torch.no_grad():
        for weight in layers.parameters():
            weight.copy_(0.3 * torch.randn(weight.shape, generator=stream))
    return layers.eval()

def small(): return network()
def softmax(): return network(nn.Softmax(dim=1))
def smooth(): return network(nn.GELU(), nn.Linear(3, 3))
def bare(): return nn.Sequential(*list(small())[1:])
"""

SMALL = ["--model", "trace_networks:small", "--data", "npz:photos.npz"]


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def answer(*arguments):
    result = run("trace", *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def rows(path):
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


def require_pictures(folder, stem):
    pixels = np.asarray(Image.open(folder / f"{stem}.png").convert("L"))
    # Blank axes have ink on fewer than one pixel in a hundred.
    assert (pixels < 250).mean() > 0.1
    assert (folder / f"{stem}.svg").stat().st_size > 10_000


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with small networks and eight images, of which number 0 is labelled wrongly."""
    (tmp_path / "trace_networks.py").write_text(FACTORIES)
    monkeypatch.chdir(tmp_path)
    x = torch.rand(8, 8, 8, 3, generator=generator(0, "photos")).mul(255).to(torch.uint8).numpy()
    labels = small_network()(pixels(x)).argmax(dim=1).numpy()
    labels[0] = (labels[0] + 1) % 3
    np.savez("photos.npz", x=x, y=labels)
    Image.fromarray(x[3]).save("three.png")
    return tmp_path


def small_network():
    names: dict = {}
    exec(FACTORIES, names)  # noqa: S102  (our own text)
    return names["small"]()


def pixels(x):
    return torch.tensor(x).permute(0, 3, 1, 2).float() / 255


def photo(number):
    with np.load("photos.npz") as file:
        return pixels(file["x"][number : number + 1])[0]


def test_a_line_through_the_packaged_model_is_the_library_s(tmp_path, sample, photos):
    out = tmp_path / "line"
    document = answer("--random", "--length", 0.05, "--out", out)
    assert document == json.loads((out / "trace.json").read_text())
    assert document["settings"]["data"] == "sample"
    assert document["settings"]["attack"] is None
    require_pictures(out, "line")

    start = photos.images(0, 1)[0].double()
    std = sample.module[0].std.double()
    drawn = torch.randn(
        start.shape, generator=generator(0, "trace", "random", 0), dtype=torch.float64
    )
    end = start + std * (0.05 / drawn.norm()) * drawn
    trace = trace_line(sample.module, start, end)
    crossings = {layer["layer"]: layer["crossings"] for layer in document["layers"]}
    assert crossings == trace.crossings
    assert sum(crossings.values()) == document["line"]["breakpoints"] > 50
    flips = count_flips(sample.module, start[None], end[None])
    assert {layer["layer"]: layer["flips"] for layer in document["layers"]} == {
        name: int(count) for name, count in flips.items()
    }
    # The same sums in another order: float64 to a few roundings.
    assert document["line"]["length"] == pytest.approx(0.05, rel=1e-12)
    assert document["line"]["length_pixels"] == pytest.approx(trace.length, rel=1e-12)

    table = rows(out / "breakpoints.csv")
    np.testing.assert_allclose([float(row["t"]) for row in table], trace.t, rtol=1e-9)
    assert [row["layer"] for row in table] == trace.layer.tolist()
    for row in table:
        place = tuple(map(int, row["unit_axes"].split()))
        shape = trace.shapes[row["layer"]]
        assert np.ravel_multi_index(place, shape) == int(row["unit"])
    # The piece ahead of the start ends at the first breakpoint, the one before the end begins
    # at the last one; both are found by other code, on values that cancel to about 1e-9.
    ahead, back = document["start"]["piece"]["after"], document["end"]["piece"]["before"]
    assert ahead == pytest.approx(0.05 * trace.t[0], rel=1e-6)
    assert back == pytest.approx(0.05 * (1 - trace.t[-1]), rel=1e-6)
    np.testing.assert_allclose(document["end"]["logits"], trace.outputs[-1], rtol=1e-9)
    assert document["start"]["name"] == "cat"


def test_a_plane_through_the_packaged_model_is_the_library_s(tmp_path):
    out = tmp_path / "plane"
    document = answer(
        *("--random", "--length", 0.05, "--plane", "--extent", 0.002, "--samples"),
        *("--directions", 2, "--out", out),
    )
    plane = document["plane"]
    require_pictures(out, "plane")
    assert plane["window"] == [-0.002, 0.002, -0.002, 0.002]
    assert plane["traced_share"] == pytest.approx(1, abs=1e-9)
    assert len(rows(out / "regions.csv")) == plane["regions"] > 10
    assert [found["name"] for found in document["classes"]] == ["cat"]
    assert len(plane["samples"]) == 13
    # Offsets are at most 6 long, and so are their projections.
    assert np.linalg.norm(plane["samples"], axis=1).max() < 6
    assert document["settings"]["radius"] == 6


def test_a_line_to_the_adversarial_image_crosses_the_decision(here):
    document = answer(*SMALL, "--attack", "fgsm", "--epsilon", 1, "--image", 2)
    target = AttackedModel(small_network())
    x = photo(2)[None]
    label = target.predict(x)
    attack = build_attack("fgsm", "minimal")
    end = attack(target, x, label, epsilon=1, ids=[2]).images[0]
    trace = trace_line(target.model, x[0], end)
    assert document["line"]["breakpoints"] == len(trace) > 0
    assert document["start"]["label"] == document["start"]["data_label"] == int(label)
    assert document["end"]["label"] != int(label)
    assert document["label_changes"][0]["from"] == int(label)
    assert document["label_changes"][-1]["to"] == document["end"]["label"]
    assert document["settings"]["attack"]["name"] == "fgsm"
    for layer in document["layers"]:
        if layer["layer"] != "3":  # a window may change its winner on the way and back
            assert layer["flips"] <= layer["crossings"]
            assert (layer["crossings"] - layer["flips"]) % 2 == 0


def test_the_first_image_that_is_right_is_taken_and_files_will_do(here):
    document = answer(*SMALL, "--random", "--length", 0.5)
    assert document["start"]["what"] == "image 1 of npz:photos.npz"
    by_file = answer(*SMALL[:2], "--from", "three.png", "--random", "--length", 0.5, "--out", "a")
    assert by_file["start"]["data_label"] is None
    assert by_file["settings"]["data"] is None
    to_file = answer(*SMALL, "--image", 2, "--to", "three.png", "--out", "b")
    std = torch.tensor([0.2, 0.25, 0.3]).double().view(3, 1, 1)
    apart = ((photo(3).double() - photo(2).double()) / std).norm()
    # The normaliser's std is float32.
    assert to_file["line"]["length"] == pytest.approx(float(apart), rel=1e-6)
    # By default a random direction is as long as the adversarial image is away.
    common = (*SMALL, "--quick", "--epsilon", 1, "--image", 2)
    lengths = [answer(*common, *more)["line"]["length"] for more in ([], ["--random"])]
    assert lengths[0] == pytest.approx(lengths[1], rel=1e-12)


def test_the_table_says_all_that_the_document_says(here):
    result = run(
        "trace", *SMALL[2:], "--model", "trace_networks:softmax", "--random", "--length", 1
    )
    assert result.exit_code == 0, result.stderr
    for words in (
        *("crossings", "flips", "normalised", "a second", "piece around the start"),
        *("outputs at the end", "the label changes", "left off", "wrote trace/trace.json"),
    ):
        assert words in result.stdout
    assert json.loads(Path("trace/trace.json").read_text())["left_off"] is not None


def test_a_plane_holds_the_images_and_says_which_class_is_where(here):
    document = answer(
        *(*SMALL, "--plane", "--attack", "fgsm", "--epsilon", 1, "--image", 2, "--third", 4),
        *("--max-regions", 100_000),
    )
    plane = document["plane"]
    assert plane["whole"] is None
    low, high, *_ = plane["window"]
    marks = plane["marks"]
    assert marks["image 2"] == [0, 0]
    length, zero = marks["adversarial image"]
    assert zero == 0
    assert low < -length < length < high
    # The third image's distances to the others, from its coordinates and from pixels.
    std = small_network()[0].std.double()
    away = ((photo(4).double() - photo(2).double()) / std).norm()
    assert np.hypot(*marks["image 4"]) == pytest.approx(float(away), rel=1e-9)

    # The same plane, asked of the library; its axes are as long as one normalised unit.
    target = AttackedModel(small_network())
    x = photo(2)[None]
    end = build_attack("fgsm", "minimal")(target, x, target.predict(x), epsilon=1, ids=[2]).images
    start, u = x[0].double(), (end - x)[0].double() / std
    u = u / u.norm()
    v = (photo(4).double() - start) / std
    v = v - (u * v).sum() * u
    v = v / v.norm()
    trace = trace_plane(target.model, start, u * std, v * std, plane["window"])
    assert len(trace) == plane["regions"]
    assert [int((trace.edge_layer == n).sum()) for n in range(len(trace.layers))] == [
        layer["border_pieces"] for layer in document["layers"]
    ]
    table = rows("trace/regions.csv")
    area = (high - low) ** 2
    # Areas are sums of many rounded triangles.
    assert sum(float(row["area"]) for row in table) == pytest.approx(area, rel=1e-9)
    centres = torch.tensor([[float(row["centre_a"]), float(row["centre_b"])] for row in table])
    a, b = centres.double().T[:, :, None, None, None]
    points = start + a * (u * std) + b * (v * std)
    labels = target.model.double()(points).argmax(dim=1).tolist()
    assert [int(row["label"]) for row in table] == labels
    assert sum(found["share"] for found in document["classes"]) == pytest.approx(1, rel=1e-9)

    # An independent count: of 40,000 points on a grid, so many are of each class.
    grid = low + (np.arange(200) + 0.5) / 200 * (high - low)
    a, b = torch.tensor(np.stack(np.meshgrid(grid, grid)).reshape(2, -1, 1, 1, 1))
    with torch.no_grad():
        seen = target.model(start + a * (u * std) + b * (v * std)).argmax(dim=1)
    for found in document["classes"]:
        # A boundary of some window's widths crosses a few hundred of the 40,000 squares.
        assert float((seen == found["label"]).double().mean()) == pytest.approx(
            found["share"], abs=0.01
        )


def test_windows_around_the_end_and_the_boundary(here):
    common = (*SMALL, "--plane", "--attack", "fgsm", "--epsilon", 1, "--image", 2, "--extent", 0.01)
    end = answer(*common, "--around", "end")["plane"]
    length = end["marks"]["adversarial image"][0]
    assert np.mean(end["window"][:2]) == pytest.approx(length, rel=1e-12)
    boundary = answer(*common, "--around", "boundary")
    assert len(boundary["classes"]) == 2
    line = answer(*common[:4], *common[5:11])
    crossed = line["label_changes"][0]["t"] * length
    # Bisection and the trace agree to float64's rounding, through a network.
    assert np.mean(boundary["plane"]["window"][:2]) == pytest.approx(crossed, rel=1e-9)


def test_a_window_of_default_size_is_one_that_can_be_traced(here):
    document = answer(*SMALL, "--plane", "--random", "--length", 20, "--max-regions", 400)
    whole = document["plane"]["whole"]
    assert whole["extent"] == pytest.approx(26, rel=1e-12)
    assert whole["expected_regions"] > 200
    assert document["plane"]["window"][1] < 26
    assert document["plane"]["regions"] <= 400
    few = answer(*SMALL, "--plane", "--random", "--length", 20, "--max-regions", 10)
    assert few["plane"]["regions"] <= 10


@pytest.mark.parametrize(
    ("option", "stem", "extra"),
    [
        ("--max-breakpoints", "line", ["breakpoints.csv"]),
        ("--max-regions", "plane", ["regions.csv"]),
    ],
)
def test_beyond_the_limit_the_part_so_far_is_kept(here, option, stem, extra):
    more = ["--plane", "--extent", 3] if stem == "plane" else []
    result = run("trace", *SMALL, "--random", "--length", 20, option, 3, *more, "--json")
    assert result.exit_code == 2
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: expected at most 3")
    assert f"({option}); what was traced so far is in trace/trace.json" in line
    document = json.loads(Path("trace/trace.json").read_text())
    assert all(Path(name).stat().st_size > 0 for name in document["files"])
    assert {f"trace/{name}" for name in (*extra, f"{stem}.png", f"{stem}.svg")} < set(
        document["files"]
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*SMALL, "--image", "8"], "an image number from 0 to 7 in npz:photos.npz, got 8"),
        ([*SMALL, "--image", "-1"], "an image number from 0 to 7"),
        ([*SMALL, "--image", "0"], "classifies as labelled, but it takes image 0"),
        ([*SMALL, "--attack", "pgdd"], "an attack of fgsm, pgd, deepfool, cw; got 'pgdd'"),
        ([*SMALL, "--image", "2", "--attack", "fgsm", "--epsilon", "1e-6"], "larger --epsilon"),
        ([*SMALL, "--epsilon", "2"], "epsilon in (0, 1]"),
        ([*SMALL, "--epsilon", "8/0"], "epsilon like 8/255"),
        ([*SMALL, "--random", "--length", "0"], "a finite --length above 0, got 0"),
        ([*SMALL, "--random", "--length", "nan"], "a finite --length above 0"),
        ([*SMALL, "--length", "1"], "--length together with --random"),
        ([*SMALL, "--random", "--to", "three.png"], "--to or --random, got both"),
        ([*SMALL, "--image", "1", "--from", "three.png"], "--image or --from, got both"),
        (
            [*SMALL, "--from", "three.png", "--to", "three.png"],
            "the line between them has length 0",
        ),
        ([*SMALL, "--from", "four.png"], "found none at four.png"),
        ([*SMALL, "--samples"], "--samples together with --plane"),
        ([*SMALL, "--third", "1"], "--third together with --plane"),
        ([*SMALL, "--around", "end"], "--around together with --plane"),
        ([*SMALL, "--max-regions", "5"], "--max-regions together with --plane"),
        ([*SMALL, "--plane", "--max-breakpoints", "5"], "--max-regions for a plane"),
        ([*SMALL, "--plane", "--radius", "1"], "--radius together with --samples"),
        ([*SMALL, "--plane", "--extent", "0"], "a finite --extent above 0"),
        ([*SMALL, "--plane", "--around", "here"], "--around image, end or boundary; got 'here'"),
        ([*SMALL, "--plane", "--to", "three.png", "--third", "3"], "off the line through"),
        (
            [*SMALL, "--plane", "--random", "--length", "1e-6", "--around", "boundary"],
            "but both images have the same one",
        ),
        ([*SMALL, "--max-breakpoints", "0"], "--max-breakpoints of 1 or more"),
        ([*SMALL, "--out", "three.png"], "--out to name a folder"),
        ([*SMALL[2:], "--model", "trace_networks:smooth"], "GELU"),
        ([*SMALL[2:], "--model", "trace_networks:bare"], "Normalise layer"),
        (["--model", "trace_networks:small", "--random", "--length", "1"], "expected --data"),
        (["--data", "npz:photos.npz", "--model", "trace_networks:none"], "found none"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(here, arguments, message):
    result = run("trace", *arguments)
    assert result.exit_code == 2, result.stdout
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert message in line


def test_a_bare_model_takes_a_scale(here):
    document = answer(
        *("--model", "trace_networks:bare", "--data", "npz:photos.npz", "--scale", 1),
        *("--image", 2, "--random", "--length", 0.5),
    )
    line = document["line"]
    assert line["length"] == pytest.approx(line["length_pixels"], rel=1e-12)


def test_help_teaches_and_loads_no_torch():
    code = (
        "import sys; from bandlimiter.cli.main import app\n"
        "try: app(['trace', '--help'])\n"
        "except SystemExit: print('torch' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip().endswith("False")
    for word in ("breakpoint", "flips", "normalised", "linear regions", "--around"):
        assert word in result.stdout.lower()
