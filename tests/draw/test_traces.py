"""Pictures of lines and planes: the decision is exact, and what is drawn is what was traced."""

import sys
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import torch
from matplotlib.collections import LineCollection, PolyCollection
from PIL import Image
from torch import nn

from bandlimiter.draw import draw_line, draw_line_spectra, draw_trace_plane, save_figure
from bandlimiter.draw.decisions import cell_labels, divided_cells, label_changes
from bandlimiter.errors import MissingExtraError
from bandlimiter.geometry.tracing import TraceLimitError, trace_line, trace_plane
from bandlimiter.tensors import generator

matplotlib = pytest.importorskip("matplotlib")


def seeded(*layers):
    """Networks of fixed random weights."""
    network = nn.Sequential(*layers).double().eval()
    stream = generator(3, "traces")
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(torch.randn(weight.shape, generator=stream, dtype=weight.dtype))
    return network


@pytest.fixture(scope="module")
def network():
    return seeded(nn.Linear(2, 12), nn.ReLU(), nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, 4))


@pytest.fixture(scope="module")
def line(network):
    return trace_line(network, [-2.0, -1.0], [2.0, 1.5])


@pytest.fixture(scope="module")
def plane(network):
    return trace_plane(network, [0.0, 0.0], [1.0, 0.0], [0.0, 1.0], 1.5)


def test_labels_change_where_a_dense_scan_sees_them(network, line):
    changes = label_changes(line.knots, line.outputs)
    t = np.linspace(0, 1, 100_001)
    with torch.no_grad():
        points = torch.tensor([-2.0, -1.0]) + torch.tensor(t)[:, None] * torch.tensor([4.0, 2.5])
        scanned = network(points).argmax(dim=1).numpy()
    seen = np.flatnonzero(np.diff(scanned))
    assert len(changes) == len(seen) > 0
    for (place, before, after), step in zip(changes, seen, strict=True):
        assert t[step] <= place <= t[step + 1]
        assert (before, after) == (scanned[step], scanned[step + 1])


def test_a_class_that_leads_only_between_two_knots_is_found():
    outputs = np.array([[1.0, 0.0, 0.7], [0.0, 1.0, 0.7]])
    changes = label_changes(np.array([0.0, 2.0]), outputs)
    # 1 - s = 0.7 and s = 0.7, at t = 2 s: a few rounded operations on numbers of order one.
    assert [change[0] for change in changes] == pytest.approx([0.6, 1.4], rel=1e-14)
    assert [change[1:] for change in changes] == [(0, 2), (2, 1)]


def test_a_tie_at_a_knot_is_one_change():
    outputs = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])
    assert label_changes(np.array([0.0, 0.5, 1.0]), outputs) == [(0.5, 0, 1)]


def identity(*rows):
    """Return a network of two inputs, relu of (a, -a, b, -b), and these combinations of it."""
    network = seeded(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, len(rows)))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[1.0, 0], [-1, 0], [0, 1], [0, -1]]))
        network[0].bias.zero_()
        network[2].weight.copy_(torch.tensor(rows))
        network[2].bias.zero_()
    return network


def square(network, extent=1.0):
    return trace_plane(network, [0.0, 0.0], [1.0, 0.0], [0.0, 1.0], extent)


def area(shape):
    x, y = shape.T
    return abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def boundary(figure):
    """Return the lengths of the pieces of the drawn decision boundary."""
    (lines,) = [c for c in figure.axes[0].collections if c.get_label() == "decision boundary"]
    return [np.linalg.norm(b - a) for a, b in lines.get_segments()]


def tints(figure):
    """Return the drawn area of each class."""
    return {
        tint.get_label(): sum(area(path.vertices[:-1]) for path in tint.get_paths())
        for tint in figure.axes[0].collections
        if isinstance(tint, PolyCollection)
    }


def test_three_classes_meet_as_they_do_on_paper():
    # Outputs a, b and 0: the boundary is half the diagonal and the two negative half axes.
    trace = square(identity([1.0, -1, 0, 0], [0, 0, 1.0, -1], [0.0, 0, 0, 0]))
    figure = draw_trace_plane(trace)
    assert sum(boundary(figure)) == pytest.approx(2 + np.sqrt(2), rel=1e-12)
    expected = {"output 0": 1.5, "output 1": 1.5, "output 2": 1.0}
    # Sums of a few rounded triangles.
    assert tints(figure) == pytest.approx(expected, rel=1e-12)


def test_a_boundary_inside_cells_is_cut_from_both_sides_once():
    # a + b / 2 against 0: through four cells' middles, slope -2.
    trace = square(identity([1.0, -1, 0.5, -0.5], [0.0, 0, 0, 0]))
    figure = draw_trace_plane(trace)
    assert sum(boundary(figure)) == pytest.approx(np.sqrt(5), rel=1e-12)
    assert tints(figure) == pytest.approx({"output 0": 2, "output 1": 2}, rel=1e-12)


def test_a_boundary_along_an_edge_of_regions_is_drawn():
    trace = square(identity([1.0, 0, 0, 0], [0, 1.0, 0, 0]))  # relu(a) against relu(-a)
    assert sum(boundary(draw_trace_plane(trace))) == pytest.approx(2, rel=1e-12)


def test_classes_of_a_plane_fill_it_and_are_the_network_s(network, plane):
    labels = cell_labels(plane)
    pieces = [
        (labels[cell], plane.vertices[plane.cell_vertices[start:stop]])
        for cell, (start, stop) in enumerate(
            zip(plane.cell_offsets[:-1], plane.cell_offsets[1:], strict=True)
        )
        if labels[cell] >= 0
    ]
    divided = list(divided_cells(plane, labels))
    assert {cell for cell, *_ in divided} == set(np.flatnonzero(labels < 0)) != set()
    pieces += [(label, shape) for _, label, shape, _ in divided]
    assert sum(area(shape) for _, shape in pieces) == pytest.approx(9, rel=1e-12)
    inside = torch.tensor(np.stack([shape.mean(axis=0) for _, shape in pieces]))
    with torch.no_grad():
        assert network(inside).argmax(dim=1).tolist() == [label for label, _ in pieces]
        for *_, borders in divided:
            for border in borders:
                top = network(torch.tensor(border)).sort(dim=1, descending=True).values
                # On the boundary two outputs of order ten are equal up to rounding.
                assert (top[:, 0] - top[:, 1]).abs().max() < 1e-12


def test_each_layer_s_edges_have_its_colour(plane):
    figure = draw_trace_plane(plane)
    (edges,) = [
        c
        for c in figure.axes[0].collections
        if isinstance(c, LineCollection) and c.get_array() is not None
    ]
    counts = np.bincount(edges.get_array(), minlength=2)
    assert counts.tolist() == [(plane.edge_layer == number).sum() for number in (0, 1)]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert f"layer 2 ({counts[1]})" in labels


def test_a_deep_network_has_a_scale_of_colours():
    layers = [layer for _ in range(9) for layer in (nn.Linear(2, 2), nn.LeakyReLU(0.5))]
    figure = draw_trace_plane(square(seeded(*layers, nn.Linear(2, 2))))
    assert len(figure.axes) == 2
    assert "by depth" in figure.axes[1].get_ylabel()


def test_points_are_marked_inside_and_pointed_out_outside(plane):
    marks = {"here": np.array([0.5, 0.5]), "there": np.array([30.0, 40.0])}
    samples = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 0.0]])
    figure = draw_trace_plane(plane, marks=marks, samples=samples)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "here" in labels
    assert "there" not in labels
    assert "samples, projected (2 of 3 seen)" in labels
    (arrow,) = figure.axes[0].texts
    assert arrow.get_text() == "there, 50 away"
    assert np.abs(arrow.xy).max() < 1.5


def test_a_thinned_line_keeps_its_extremes_and_every_crossing(network):
    turns = np.sort(torch.rand(9000, generator=generator(0, "turns")).double().numpy())
    values = torch.randn(9002, 3, generator=generator(0, "values")).double().numpy()
    trace = trace_line(network, [-2.0, -1.0], [2.0, 1.5])
    layer = np.array(list(trace.crossings))[np.arange(9000) % 2]
    long = type(trace)(
        t=turns, layer=layer, unit=np.zeros(9000, int), threshold=np.zeros(9000, int),
        crossings=dict.fromkeys(trace.crossings, 4500), outputs=values, shapes=trace.shapes,
        length=1.0, left_off=None,
    )  # fmt: skip
    figure = draw_line(long)
    drawn = [line for line in figure.axes[0].lines if str(line.get_label()).startswith("output")]
    assert len(drawn) == 3
    for curve in drawn:
        column = values[:, int(curve.get_label()[-1])]
        assert curve.get_ydata().min() == column.min()
        assert curve.get_ydata().max() == column.max()
        assert len(curve.get_xdata()) < 6000
    assert figure.axes[1].collections[-1].get_paths()[0].vertices[:, 1].max() == 9000


def test_where_the_label_changes_is_marked_and_named(line):
    figure = draw_line(line, names=list("wxyz"))
    changes = label_changes(line.knots, line.outputs)
    marked = [curve.get_xdata()[0] for curve in figure.axes[0].lines if curve.get_ls() == "--"]
    assert marked == [change[0] for change in changes]
    place, before, after = changes[0]
    said = f"{'wxyz'[before]} → {'wxyz'[after]} at t = {place:.4g}"
    assert said in [text.get_text() for text in figure.axes[0].texts]


def test_a_part_of_a_line_says_how_far_it_goes(network):
    with pytest.raises(TraceLimitError) as stopped:
        trace_line(network, [-2.0, -1.0], [2.0, 1.5], max_breakpoints=2, memory=1e-9)
    part = stopped.value.trace
    assert part.reached < 1
    figure = draw_line(part)
    assert f"traced up to {part.reached:.4g}" in figure.axes[1].get_xlabel()


def test_ratios_of_spectra_are_those_of_bands():
    w = np.concatenate([[0.0], np.geomspace(1, 1000, 400)])
    plain = np.concatenate([[1.0], w[1:] ** -2.0])
    figure = draw_line_spectra(w, {"plain": plain, "averaged": plain / 3}, kept_ratio=91**-0.5)
    ratio, level = figure.axes[1].lines
    # A constant factor is that of every band, up to rounding; twelve bands a decade.
    np.testing.assert_allclose(ratio.get_ydata(), 1 / 3, rtol=1e-14)
    assert 36 <= len(ratio.get_xdata()) <= 38
    assert level.get_ydata()[0] == 91**-0.5


def figures(line, plane):
    w = np.geomspace(1, 100, 50)
    return {
        "line": draw_line(line, length=2.0, title="t"),
        "plane": draw_trace_plane(plane, marks={"m": np.zeros(2)}, samples=np.zeros((1, 2))),
        "spectra": draw_line_spectra(w, {"plain": 1 / w, "averaged": 1 / w**2}, kept_ratio=0.1),
    }


@pytest.mark.parametrize("name", ["line", "plane", "spectra"])
def test_pictures_are_whole_files_not_blank_and_repeat(line, plane, tmp_path, name):
    for run in ("first", "second"):
        (tmp_path / run).mkdir()
        png, svg = save_figure(figures(line, plane)[name], tmp_path / run / name)
        # A tenth of the pixels is not paper: blank axes have fewer than one in a hundred.
        pixels = np.asarray(Image.open(png).convert("L"))
        assert (pixels < 250).mean() > (0.01 if name == "spectra" else 0.1)
        assert ET.parse(svg).getroot().tag.endswith("svg")  # noqa: S314  (our own file)
    for suffix in (".png", ".svg"):
        first, second = (tmp_path / run / f"{name}{suffix}" for run in ("first", "second"))
        assert first.read_bytes() == second.read_bytes()


def test_missing_matplotlib_names_the_extra(line, monkeypatch):
    for module in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'bandlimiter\[spectrum\]'"):
        draw_line(line)
