"""Planes: against enumeration, against the network's own layers, and against lines."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree
from torch import nn

from bandlimiter.errors import ConfigurationError, InputError
from bandlimiter.geometry import enumerate_regions, read_network
from bandlimiter.geometry.graph import read_graph
from bandlimiter.geometry.tracing import PlaneTrace, TraceLimitError, trace_line, trace_plane
from tests.geometry.checks import refuses
from tests.geometry.networks import ACTIVATIONS, every_kind, perceptron
from tests.geometry.networks import networks as perceptrons
from tests.geometry.tracing.networks import BLOCKS, SHAPE, network_of
from tests.geometry.tracing.slices import (
    Slice,
    fits_together,
    holds,
    located,
    plane_of,
    same_plane,
)

EXTENT = (-0.2, 0.3, -0.15, 0.1)
SMALL = (-0.07, 0.1, -0.05, 0.04)
TINY = 1e-9
"""Mebibytes: four points, so that every cell is a part of its own."""


def is_enumerated(network: nn.Module, origin, u, v, extent, memory: float) -> PlaneTrace:
    """The same regions as by enumeration of the network's restriction to the plane."""
    trace = trace_plane(network, origin, u, v, extent, memory=memory)
    restricted = read_network(network).restricted(np.stack([u, v], axis=1), origin)
    low, high = np.reshape(extent, (2, 2)).T
    regions = enumerate_regions(restricted, low, high)
    fits_together(trace)
    assert len(trace) == len(regions)
    # Sums of a few products of coordinates.
    area = np.prod(high - low)
    np.testing.assert_allclose(
        np.sort(trace.areas), np.sort(regions.volumes), rtol=0, atol=1e-12 * area
    )
    assert (len(trace.vertices), len(trace.edges), len(trace)) == regions.face_counts
    # Roundings where hyperplanes meet at angles above 1e-4.
    scaled = [(points - low) / (high - low) for points in (trace.vertices, regions.vertices)]
    distance, number = cKDTree(scaled[0]).query(scaled[1])
    assert distance.max() < 1e-11
    assert len(set(number)) == len(number)
    bounds = [layer.bits.stop for layer in restricted.layers]
    facets = regions.facet_hyperplanes
    expected = np.searchsorted(bounds, facets[facets >= 0], side="right")
    np.testing.assert_array_equal(
        np.bincount(trace.edge_layer[trace.edge_layer >= 0], minlength=len(bounds)),
        np.bincount(expected, minlength=len(bounds)),
    )
    return trace


@pytest.mark.parametrize("memory", [512, TINY])
@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_perceptrons(activation, memory):
    origin, u, v = np.random.default_rng(5).normal(size=(3, 5))
    network = perceptron(5, 12, 10, 8, 3, activation=activation, seed=7)
    trace = is_enumerated(network, origin, u, v, (-2, 1, -1, 2), memory)
    assert len(trace) > 100


@pytest.mark.parametrize("memory", [512, 0.02, TINY])
def test_residual_sums_and_functional_forms(memory):
    origin, u, v = np.random.default_rng(6).normal(size=(3, 4))
    for seed in range(4):
        is_enumerated(every_kind(4, seed), origin, u, v, (-3, 3, -2, 2), memory)


@settings(max_examples=30, deadline=None)
@given(network=perceptrons(dim=3), seed=st.integers(0, 2**32 - 1))
def test_any_perceptron(network, seed):
    origin, u, v = np.random.default_rng(seed).normal(size=(3, 3))
    for memory in (512, TINY):
        is_enumerated(network, origin, u, v, (-2, 2, -2, 2), memory)


@pytest.mark.parametrize("kind", sorted(kind for kind in BLOCKS if not kind.startswith("max")))
def test_convolutions(kind):
    network, plane = network_of(kind, "leaky", seed=3), plane_of(3)
    trace = trace_plane(network, *plane, SMALL)
    holds(trace, Slice(network, *plane, SMALL), scanned=50)
    # Parts of four points and of some: crossings are placed in other roundings.
    for memory in (TINY, 0.3):
        same_plane(trace, trace_plane(network, *plane, SMALL, memory=memory), 1e-11)


def test_ten_thousand_points():
    network, plane = network_of("relu6", "residual", seed=4), plane_of(4)
    trace = trace_plane(network, *plane, EXTENT)
    assert len(trace) > 500
    holds(trace, Slice(network, *plane, EXTENT), scanned=100)


@pytest.mark.parametrize("kind", ["relu6", "residual", "max", "max overlapping"])
def test_a_line_in_the_plane(kind):
    """A diagonal crosses just those edges that lie across it."""
    network, (origin, u, v) = network_of(kind, "relu", seed=5), plane_of(5)
    low_a, high_a, low_b, high_b = EXTENT
    plane = trace_plane(network, origin, u, v, EXTENT)
    start, end = origin + low_a * u + low_b * v, origin + high_a * u + high_b * v
    line = trace_line(network, start, end)
    expected = {
        (place, plane.layers.index(layer))
        for place, layer in zip(np.round(line.t, 9), line.layer, strict=True)
    }
    points = (plane.vertices - [low_a, low_b]) / [high_a - low_a, high_b - low_b]
    first, second = points[plane.edges[plane.edge_layer >= 0]].transpose(1, 0, 2)
    layer = plane.edge_layer[plane.edge_layer >= 0]
    above = [point[:, 1] - point[:, 0] for point in (first, second)]
    (across,) = np.nonzero((above[0] > 0) != (above[1] > 0))
    share = (above[0] / (above[0] - above[1]))[across, None]
    place = ((1 - share) * first[across] + share * second[across])[:, 0]
    order = np.argsort(place)
    places, layers = zip(*sorted(expected), strict=True)
    np.testing.assert_allclose(place[order], places, rtol=0, atol=2e-9)
    np.testing.assert_array_equal(layer[across][order], layers)
    assert len(places) > 10
    # The same function, interpolated along the line and in the plane's cells.
    t = np.linspace(0, 1, 100)
    cell, _ = located(plane, np.stack([t, t], axis=1))
    for number, at in zip(cell, t, strict=True):
        corners = plane.cell_vertices[slice(*plane.cell_offsets[[number, number + 1]])]
        known = np.column_stack([points[corners], np.ones(len(corners))])
        affine = np.linalg.lstsq(known, plane.outputs[corners], rcond=None)[0]
        # Extrapolation from thin cells loses some digits.
        np.testing.assert_allclose(line.at(at), [at, at, 1] @ affine, rtol=0, atol=1e-7)


def test_graphs_and_devices():
    network, plane = network_of("relu", "max", seed=6), plane_of(6)
    trace = trace_plane(network, *plane, EXTENT, device="cpu")
    same_plane(trace, trace_plane(read_graph(network, SHAPE), *plane, EXTENT))
    assert trace.extent == EXTENT
    assert trace_plane(network, *plane, 1e-3).extent == (-1e-3, 1e-3, -1e-3, 1e-3)


def test_a_final_softmax_is_left_off():
    network = nn.Sequential(perceptron(3, 6, 2, seed=1), nn.Softmax(dim=1))
    assert trace_plane(network, *np.eye(3), 1).left_off == "1"


@pytest.mark.parametrize("memory", [TINY, 0.2, 512])
def test_a_trace_that_is_stopped_is_exact_as_far_as_it_goes(memory):
    network, plane = network_of("relu", "max overlapping", "leaky", seed=8), plane_of(8)
    whole = trace_plane(network, *plane, EXTENT)
    allowed = len(whole) // 2
    with pytest.raises(TraceLimitError) as caught:
        trace_plane(network, *plane, EXTENT, max_regions=allowed, memory=memory)
    trace = caught.value.trace
    with refuses(TraceLimitError, f"at most {allowed} regions", f"got {len(trace)}", "smaller"):
        raise caught.value
    assert len(trace) > allowed
    assert memory == 512 or len(trace) < len(whole)
    distance, number = cKDTree(whole.vertices).query(trace.vertices)
    assert distance.max() < 1e-12  # roundings of places
    np.testing.assert_allclose(trace.outputs, whole.outputs[number], rtol=0, atol=1e-11)
    cells = {frozenset(loop) for loop in np.split(whole.cell_vertices, whole.cell_offsets[1:-1])}
    for loop in np.split(number[trace.cell_vertices], trace.cell_offsets[1:-1]):
        assert frozenset(loop) in cells
    assert len(trace_plane(network, *plane, EXTENT, max_regions=len(whole))) == len(whole)


def test_progress_goes_to_the_end():
    told: list[tuple[int, int, str]] = []
    network = network_of("relu", seed=8)
    trace = trace_plane(
        network, *plane_of(8), EXTENT, memory=TINY, progress=lambda *said: told.append(said)
    )
    done, total, what = zip(*told, strict=True)
    assert list(done) == sorted(done)
    assert done[-1] == total[-1]
    assert what[-1] == f"{len(trace)} regions"
    assert len(told) > 10


X, Y, ZERO = [1.0, 0, 0], [0.0, 1, 0], [0.0, 0, 0]


@pytest.mark.parametrize(
    ("origin", "u", "v", "extent", "words"),
    [
        (ZERO, X, X, 1, ("span a plane", "parallel")),
        (ZERO, X, [-2.0, 0, 0], 1, ("span a plane", "parallel")),
        (ZERO, X, [1.0, 1e-9, 0], 1, ("span a plane", "parallel")),
        (ZERO, X, ZERO, 1, ("span a plane", "zero")),
        (ZERO, X, [0.0, 1], 1, ("one shape without batch", "(3,), (3,) and (2,)")),
        ([ZERO], X, Y, 1, ("one shape without batch", "(1, 3)")),
        (0.0, 1.0, 1.0, 1, ("one shape without batch", "()")),
        ([np.nan, 0, 0], X, Y, 1, ("finite origin", "NaN")),
        (ZERO, X, [0, np.inf, 0], 1, ("finite origin", "infinite")),
        (["a"], X, Y, 1, ("array of real numbers",)),
        (ZERO, X, Y, 0, ("low < high", "[-0.0, 0.0, -0.0, 0.0]")),
        (ZERO, X, Y, -1, ("low < high",)),
        (ZERO, X, Y, (0, 1, 1, 1), ("low < high", "[0.0, 1.0, 1.0, 1.0]")),
        (ZERO, X, Y, (0, 1), ("one or four", "[0, 1]")),
        (ZERO, X, Y, np.nan, ("one or four finite", "nan")),
        (ZERO, X, Y, (0, 1, 0, np.inf), ("one or four finite", "inf")),
    ],
)
def test_planes_that_do_not_serve(origin, u, v, extent, words):
    with refuses(InputError, *words):
        trace_plane(perceptron(3, 4, 2), origin, u, v, extent)


def test_what_cannot_be_traced():
    network = nn.Sequential(nn.Linear(3, 3), nn.GELU())
    with refuses(ConfigurationError, "piecewise linear", "GELU (layer 1)"):
        trace_plane(network, ZERO, X, Y, 1)
    for memory in (0, -1, np.nan):
        with refuses(ConfigurationError, "memory above 0 mebibytes", str(memory)):
            trace_plane(perceptron(3, 4, 2), ZERO, X, Y, 1, memory=memory)
    with refuses(ConfigurationError, "inputs of shape (2, 7, 7)", "got (3,)"):
        trace_plane(read_graph(network_of("relu"), SHAPE), ZERO, X, Y, 1)


def test_a_network_without_bends_is_one_region():
    network = nn.Sequential(nn.Conv2d(2, 1, 3), nn.AvgPool2d(2), nn.Flatten()).double()
    plane = plane_of(0)
    trace = trace_plane(network, *plane, EXTENT)
    assert (len(trace), trace.layers, trace.outputs.shape) == (1, (), (4, 4))
    holds(trace, Slice(network, *plane, EXTENT), scanned=10)
    same = trace_plane(nn.Identity(), *plane, EXTENT)
    np.testing.assert_array_equal(same.vertices, trace.vertices)
    inputs = Slice(network, *plane, EXTENT).inputs(same.vertices).flatten(1)
    np.testing.assert_array_equal(same.outputs, inputs)
