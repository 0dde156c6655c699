"""Pictures show what was computed, repeat byte by byte, and name the extra that they need."""

import sys
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from bandlimiter.data import load_planar
from bandlimiter.draw import draw_filters, draw_plane, draw_radial, draw_regions, save_figure
from bandlimiter.errors import InputError, MissingExtraError
from bandlimiter.geometry import enumerate_regions
from bandlimiter.models import build_perceptron

matplotlib = pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def regions():
    return enumerate_regions(build_perceptron((2, 8, 8, 2), seed=3), -1.5, 1.5)


@pytest.fixture(scope="module")
def planar():
    return load_planar("moons", points=60)


def collections(figure, word):
    return [c for c in figure.axes[0].collections if word in str(c.get_label())]


def test_each_layer_s_borders_are_drawn_in_its_own_colour(regions):
    figure = draw_regions(regions)
    colours = set()
    for number, layer in enumerate(regions.network.layers, start=1):
        (lines,) = collections(figure, f"layer {number}")
        colours.add(tuple(lines.get_color()[0]))
        made_by = regions.facet_hyperplanes
        mine = (made_by >= layer.bits.start) & (made_by < layer.bits.stop)
        assert len(lines.get_segments()) == mine.sum() > 0
    assert len(colours) == 2


def test_regions_without_a_point_are_tinted_and_no_others(regions, planar):
    figure = draw_regions(regions, points=planar.points, labels=planar.labels)
    (tint,) = collections(figure, "no training point")
    shapes = [path.vertices[:-1] for path in tint.get_paths()]
    # The shoelace formula: exact areas of the drawn polygons, up to rounding.
    areas = [
        abs(np.sum(s[:, 0] * np.roll(s[:, 1], -1) - np.roll(s[:, 0], -1) * s[:, 1])) / 2
        for s in shapes
    ]
    empty = regions.volumes[regions.occupancy(planar.points) == 0]
    assert sum(areas) == pytest.approx(empty.sum(), rel=1e-12)
    assert len(shapes) == len(empty) < len(regions)


def test_a_step_has_a_panel_that_contains_it(regions):
    a, b = np.array([0.2, 0.1]), np.array([0.3, 0.15])
    figure = draw_regions(regions, step=(a, b))
    zoom = figure.axes[1]
    for point in (a, b):
        assert zoom.get_xlim()[0] < point[0] < zoom.get_xlim()[1]
        assert zoom.get_ylim()[0] < point[1] < zoom.get_ylim()[1]


def figures(regions):
    x = np.geomspace(1, 100, 5)
    curves = {"plain": x**-1.5, "ball": x**-3.0}
    exponents = {"plain": 1.5, "ball": 3.0}
    axis = np.linspace(-1, 1, 9)
    return {
        "regions": draw_regions(regions),
        "plane": draw_plane(axis, {"plain": np.exp(-np.add.outer(axis**2, axis**2))}),
        "radial": draw_radial(
            x, curves, curves, exponents=exponents, kink_exponents=exponents, title="t"
        ),
        "filters": draw_filters(x, curves, floor=0.1, xlabel="r"),
    }


@pytest.mark.parametrize("name", ["regions", "plane", "radial", "filters"])
def test_pictures_are_whole_files_and_repeat(regions, tmp_path, name):
    for run in ("first", "second"):
        (tmp_path / run).mkdir()
        png, svg = save_figure(figures(regions)[name], tmp_path / run / name)
        Image.open(png).verify()
        assert ET.parse(svg).getroot().tag.endswith("svg")  # noqa: S314  (our own file)
    for suffix in (".png", ".svg"):
        first, second = (tmp_path / run / f"{name}{suffix}" for run in ("first", "second"))
        assert first.read_bytes() == second.read_bytes()


def test_regions_of_another_dimension_are_refused():
    with pytest.raises(InputError, match="regions of the plane, got 3 dimensions"):
        draw_regions(enumerate_regions(build_perceptron((3, 4, 1)), -1, 1))


def test_missing_matplotlib_names_the_extra(regions, monkeypatch):
    for module in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'bandlimiter\[spectrum\]'"):
        draw_regions(regions)
