"""Planes through random networks: a mesh, the network's own, and complete."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bandlimiter.errors import ConfigurationError, InputError
from bandlimiter.geometry import (
    TraceLimitError,
    enumerate_regions,
    read_graph,
    read_network,
    trace_line,
    trace_plane,
)
from tests.geometry.checks import refuses
from tests.geometry.networks import every_kind, linear, perceptron
from tests.geometry.networks import networks as perceptrons
from tests.geometry.tracing.networks import BLOCKS, SHAPE, network_of, networks
from tests.geometry.tracing.slices import Sheet, has_all_regions, is_a_mesh, is_the_networks

SEEDS = st.integers(0, 2**32 - 1)
SMALL = 1e-3
"""Mebibytes: parts of four vertices where networks are small."""


def directions(seed: int, shape: tuple[int, ...] = SHAPE) -> torch.Tensor:
    """An origin, and two directions that are neither of length one nor at right angles."""
    rng = torch.Generator().manual_seed(seed % 2**63)
    return torch.randn(3, *shape, generator=rng, dtype=torch.float64)


def sorted_rows(rows: np.ndarray) -> np.ndarray:
    return rows[np.lexsort(rows.round(9).T)]


@settings(max_examples=25, deadline=None)
@given(data=st.data(), seed=SEEDS)
def test_against_enumeration(data, seed):
    """The same slice of a perceptron, by matrices: cut as one box, without parts."""
    network = data.draw(perceptrons(3))
    origin, u, v = directions(seed, (3,))
    pieces = read_network(network).restricted(torch.stack([u, v], 1).numpy(), origin.numpy())
    expected = enumerate_regions(pieces, -1, 1)
    for memory in (512, SMALL):
        trace = trace_plane(network, origin, u, v, 1.0, memory=memory)
        assert len(trace) == len(trace.region) == len(expected)
        assert (len(trace.vertices), len(trace.edges)) == expected.face_counts[:2]
        # Areas are sums of products of coordinates of order one.
        np.testing.assert_allclose(
            np.sort(trace.areas), np.sort(expected.volumes), rtol=0, atol=1e-12
        )
        for number, layer in enumerate(pieces.layers):
            made = np.isin(expected.facet_hyperplanes, np.r_[layer.bits])
            assert (trace.edge_layer == number).sum() == made.sum()


@pytest.mark.parametrize("kind", sorted(BLOCKS))
def test_each_kind_of_layer(kind):
    network = network_of("relu", kind, "relu", seed=2)
    origin, u, v = directions(3)
    trace = trace_plane(network, origin, u, v, 0.2)
    sheet = Sheet(network, origin, u, v)
    assert len(trace) > 100
    is_a_mesh(trace)
    is_the_networks(trace, sheet)
    has_all_regions(trace, sheet, scanned=30)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(network=networks(), seed=SEEDS)
def test_any_kinds_together(network, seed):
    origin, u, v = directions(seed)
    trace = trace_plane(network, origin, u, v, 0.15, memory=0.1)
    sheet = Sheet(network, origin, u, v)
    is_a_mesh(trace)
    is_the_networks(trace, sheet)
    has_all_regions(trace, sheet, scanned=40)


@pytest.mark.parametrize("kinds", [("relu", "max overlapping"), ("max", "relu6", "joined")])
def test_parts_make_the_same_mesh(kinds):
    network = network_of(*kinds, seed=4)
    origin, u, v = directions(5)
    done = []
    whole = trace_plane(network, origin, u, v, 0.2)
    parts = trace_plane(
        network, origin, u, v, 0.2, memory=1e-9, progress=lambda *now: done.append(now)
    )
    assert len(done) > 10
    assert done[-1][0] == done[-1][1]
    is_a_mesh(parts)
    # How windows are compared differs between parts, and with it the hidden edges; not
    # the regions.
    assert len(parts) == len(whole)
    per_region = [
        np.sort(np.bincount(trace.region, weights=trace.areas)) for trace in (whole, parts)
    ]
    np.testing.assert_allclose(per_region[0], per_region[1], rtol=0, atol=1e-12)
    seen = [
        sorted_rows(trace.vertices[trace.edges[trace.edge_layer != -2]].mean(axis=1))
        for trace in (whole, parts)
    ]
    if (whole.edge_layer != -2).all() and (parts.edge_layer != -2).all():
        np.testing.assert_allclose(seen[0], seen[1], rtol=0, atol=1e-12)


def test_a_line_across_meets_the_edges():
    network = network_of("relu", "max", "relu", seed=6)
    origin, u, v = directions(7)
    trace = trace_plane(network, origin, u, v, 0.2)
    start, end = origin - 0.2 * u - 0.16 * v, origin + 0.2 * u + 0.12 * v
    line = trace_line(network, start, end)
    a, b = np.array([-0.2, -0.16]), np.array([0.2, 0.12])
    ends = trace.vertices[trace.edges[trace.edge_layer >= 0]]
    along = b - a
    side = (ends - a) @ np.array([-along[1], along[0]])
    crossed = side[:, 0] * side[:, 1] < 0
    share = side[crossed, 0] / (side[crossed, 0] - side[crossed, 1])
    met = ends[crossed, 0] + share[:, None] * (ends[crossed, 1] - ends[crossed, 0])
    t = np.sort((met - a) @ along / (along @ along))
    # Half a unit long; positions are exact to 1e-12 of it.
    np.testing.assert_allclose(t, np.unique(line.t.round(12)), rtol=0, atol=1e-10)


def test_unbiased_networks_and_coincident_units():
    rays = perceptron(3, 4, 3, 1, bias=False)
    origin, u, v = torch.zeros(3).double(), *directions(8, (3,))[:2]
    trace = trace_plane(rays, origin, u, v, 1.0)
    is_a_mesh(trace)
    through = np.linalg.norm(trace.vertices, axis=1).min()
    assert through < 1e-12
    twice = nn.Sequential(linear([[1.0, 0.0], [1.0, 0.0], [2.0, 0.0]]), nn.ReLU())
    trace = trace_plane(twice, [0.2, 0.0], [1.0, 0.0], [0.0, 1.0], 1.0)
    assert len(trace) == 2
    is_a_mesh(trace)


def test_nothing_bends_and_units_that_are_dead():
    flat = trace_plane(nn.Linear(2, 1), [0.0, 0.0], [1.0, 0.0], [0.0, 1.0], (1, 2, -5, -1))
    assert (len(flat), flat.layers, flat.areas.tolist()) == (1, (), [4.0])
    assert (flat.edge_layer == -1).all()
    dead = nn.Sequential(
        linear([[1.0, 0.0]]), nn.ReLU(), linear([[1.0], [-1.0]]), nn.ReLU(), linear([[1.0, 1.0]])
    )
    trace = trace_plane(dead, [0.0, 0.0], [1.0, 0.0], [0.0, 1.0], 1.0)
    assert len(trace) == 2  # the second layer is zero on a half plane, and bends nowhere else


def test_limits_and_what_is_kept():
    network = every_kind(3, 0)
    graph = read_graph(network, (3,))
    origin, u, v = directions(9, (3,))
    whole = trace_plane(graph, origin, u, v, 2.0)
    assert len(whole) > 8
    with refuses(TraceLimitError, "at most 4 regions", "smaller rectangle"):
        trace_plane(graph, origin, u, v, 2.0, max_regions=4, memory=SMALL)
    with pytest.raises(TraceLimitError) as stopped:
        trace_plane(graph, origin, u, v, 2.0, max_regions=4, memory=1e-9)
    part = stopped.value.trace
    assert 4 < len(part) <= len(whole)
    known = np.sort(whole.areas)
    for area in part.areas:
        assert np.abs(known - area).min() < 1e-12


@pytest.mark.parametrize(
    ("origin", "u", "v", "extent", "words"),
    [
        ([0.0, 0, 0], [1.0, 0, 0], [2.0, 0, 0], 1, ["span a plane", "parallel"]),
        ([0.0, 0, 0], [1.0, 0, 0], [0.0, 0, 0], 1, ["span a plane", "zero"]),
        ([0.0, 0], [1.0, 0, 0], [0.0, 1, 0], 1, ["one shape", "(2,)"]),
        ([0.0, np.nan, 0], [1.0, 0, 0], [0.0, 1, 0], 1, ["finite"]),
        ([0.0, 0, 0], [1.0, 0, 0], [0.0, 1, 0], (1, 0, 0, 1), ["low < high"]),
        ([0.0, 0, 0], [1.0, 0, 0], [0.0, 1, 0], (0, 1), ["one or four"]),
        ([0.0, 0, 0], [1.0, 0, 0], [0.0, 1, 0], np.inf, ["finite numbers"]),
    ],
)
def test_planes_that_are_none(origin, u, v, extent, words):
    with refuses(InputError, *words):
        trace_plane(perceptron(3, 2, 1), origin, u, v, extent)


def test_layers_that_cannot_be_traced():
    network = nn.Sequential(nn.Linear(3, 2), nn.GELU())
    with refuses(ConfigurationError, "GELU", "layer 1", "in its place"):
        trace_plane(network, [0.0, 0, 0], [1.0, 0, 0], [0.0, 1, 0], 1)
