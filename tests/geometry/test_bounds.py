"""How many regions there can be, and networks that have as many."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from torch import nn

from bandlimiter.errors import ConfigurationError
from bandlimiter.geometry import enumerate_regions, max_regions
from tests.geometry.checks import refuses
from tests.geometry.networks import hyperplanes, linear, perceptron

pytestmark = pytest.mark.filterwarnings("error")
DIMS = [1, 2, 3, 4]


def sign_vectors(normals: np.ndarray, offsets: np.ndarray) -> int:
    """The regions of an arrangement in all of R^n: sign vectors that some point has.

    Each is a linear programme for the point that keeps farthest from all hyperplanes.
    """
    units, dim = normals.shape
    found = 0
    for signs in itertools.product((-1, 1), repeat=units):
        # signs (normals @ x - offsets) >= room, room <= 1
        rows = np.hstack([-np.array(signs)[:, None] * normals, np.ones((units, 1))])
        best = linprog(
            np.append(np.zeros(dim), -1.0),
            A_ub=rows,
            b_ub=-np.array(signs) * offsets,
            bounds=[(None, None)] * dim + [(None, 1)],
        )
        found += best.status == 0 and best.x[-1] > 1e-9  # regions here are far wider
    return found


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("units", [0, 1, 3, 6])
def test_one_layer_by_sign_vectors(dim, units):
    rng = np.random.default_rng([dim, units])
    normals, offsets = rng.normal(size=(units, dim)), rng.normal(size=units)
    assert sign_vectors(normals, offsets) == max_regions(units, dim) == max_regions([units], dim)
    assert sign_vectors(normals, 0 * offsets) == max_regions(units, dim, central=True)
    if units:
        # A box so large that all vertices are inside.
        network = hyperplanes(normals, offsets)
        assert len(enumerate_regions(network, -100, 100)) == max_regions(units, dim)


@pytest.mark.parametrize("dim", DIMS)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), central=st.booleans())
def test_degenerate_layers_have_fewer(dim, seed, central):
    rng = np.random.default_rng(seed)
    normals = rng.integers(-1, 2, size=(5, dim)).astype(float)
    offsets = rng.integers(-1, 2, size=5) * (not central)
    normals = normals[np.abs(normals).any(axis=1)]  # a zero normal has no hyperplane
    offsets = offsets[: len(normals)]
    regions = enumerate_regions(hyperplanes(normals, offsets), -50, 50) if len(normals) else [0]
    assert sign_vectors(normals, offsets) == len(regions)
    assert len(regions) <= max_regions(len(normals), dim, central=central)


def test_the_paper_s_example():
    """N = 1000 hyperplanes in 200 dimensions: "roughly 10^200" is 8.8e215."""
    # R(N, n) = R(N - 1, n) + R(N - 1, n - 1): a hyperplane cuts what an arrangement on it has.
    counts = [1] * 201
    for _ in range(1000):
        counts = [1, *(counts[n] + counts[n - 1] for n in range(1, 201))]
    found = max_regions(1000, 200)
    assert found == counts[200]
    assert (str(found)[:2], len(str(found))) == ("88", 216)


@pytest.mark.parametrize("dim", [1, 2, 5, 30])
def test_identities(dim):
    for units in range(1, 40):
        assert max_regions(units, dim) == max_regions(units - 1, dim) + (
            max_regions(units - 1, dim - 1) if dim > 1 else 1
        )
        if dim > 1:
            assert max_regions(units, dim, central=True) == 2 * max_regions(units - 1, dim - 1)
        if units <= dim:
            assert max_regions(units, dim) == 2**units == max_regions(units, dim, central=True)


@pytest.mark.parametrize("dim", DIMS)
@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    widths=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    activation=st.sampled_from(["relu", "absolute", "leaky"]),
    bias=st.booleans(),
)
def test_the_deep_bound_holds(dim, seed, widths, activation, bias):
    network = perceptron(dim, *widths, 1, activation=activation, bias=bias, seed=seed)
    assert len(enumerate_regions(network, -3, 3)) <= max_regions(widths, dim)


def test_the_deep_bound_knows_narrow_layers():
    """Behind one unit, or two, the image is a line, or a plane, whatever n is."""
    assert max_regions([1, 5, 5], 3) == 2 * 6 * 6
    assert max_regions([2, 5], 4) == 4 * (1 + 5 + 10)
    assert max_regions([5, 2, 5], 4) == 31 * 4 * 16
    assert max_regions([], 2) == 1


def folded(depth: int) -> nn.Sequential:
    """||| |x| - 1/2 | - 1/4 | ...: one unit a layer."""
    layers: list[nn.Module] = []
    for layer in range(depth):
        layers += [linear([[1.0]], -(0.5**layer) if layer else 0.0), nn.LeakyReLU(-1.0)]
    return nn.Sequential(*layers, linear([[1.0]]))


def test_one_unit_a_layer_that_folds():
    for depth in (1, 2, 4, 7):
        regions = enumerate_regions(folded(depth), -1, 1)
        assert len(regions) == 2**depth == max_regions([1] * depth, 1)
        np.testing.assert_allclose(regions.volumes, 2 * 0.5**depth, rtol=1e-14)


def test_three_units_a_layer_with_four_pieces_each():
    """Slopes 1/2, -1/2, 1, -1 on [0, 2], [2, 4], [4, 5], [5, 6]: each piece covers [0, 1].

    One unit faces right and two left, so that no piece is flat; scaled by six, a layer's
    image is the next one's interval.
    """
    enter = np.array([[1.0], [-1.0], [-1.0]])
    thresholds = np.array([-2.0, 4.0, 5.0])  # (x - 2), (4 - x), (5 - x)
    # -x + ... right of 2, then 3/2 and -2 for the pieces left of 4 and 5.
    outgoing, constant = np.array([[-1.0, 1.5, -2.0]]), 4.0

    def zigzag(x):
        return outgoing @ np.maximum(enter @ x + thresholds[:, None], 0) + constant

    np.testing.assert_allclose(zigzag(np.array([[0.0, 2, 4, 5, 6]])), [[0, 1, 0, 1, 0]], atol=1e-15)
    onwards = linear(6 * enter @ outgoing, enter[:, 0] * 6 * constant + thresholds)
    network = nn.Sequential(
        linear(enter, thresholds), nn.ReLU(), onwards, nn.ReLU(), onwards, nn.ReLU(),
        linear(outgoing, constant),
    )  # fmt: skip
    regions = enumerate_regions(network, 0, 6)
    assert len(regions) == 4**3 == max_regions([3, 3, 3], 1)
    np.testing.assert_allclose(np.sort(regions.values[:, 0]), [0] * 33 + [1] * 32, atol=1e-12)


def test_a_tent_map_exceeds_the_bound_of_one_layer():
    """Width 2, depth 4: 2 relu(x) - 4 relu(x - 1/2), four times, has 16 pieces in (0, 1)."""
    enter, shift, leave = np.array([[1.0], [1.0]]), np.array([0.0, -0.5]), np.array([[2.0, -4.0]])
    layers: list[nn.Module] = [linear(enter, shift), nn.ReLU()]
    for _ in range(3):
        layers += [linear(enter @ leave, shift), nn.ReLU()]
    network = nn.Sequential(*layers, linear(leave))
    regions = enumerate_regions(network, 0, 1)
    assert len(regions) == 16 > max_regions(8, 1) == 9
    assert max_regions([2, 2, 2, 2], 1) == 81
    np.testing.assert_allclose(regions.volumes, 1 / 16, rtol=1e-14)
    np.testing.assert_allclose(np.abs(regions.weights), 16, rtol=1e-14)


def test_refusals():
    with refuses(ConfigurationError, "units >= 0", "got -1 and 2"):
        max_regions(-1, 2)
    with refuses(ConfigurationError, "at least one dimension", "got 3 and 0"):
        max_regions(3, 0)
    with refuses(ConfigurationError, "[3, -2] and 1"):
        max_regions([3, -2], 1)
    with refuses(ConfigurationError, "one layer", "got 2 layers"):
        max_regions([3, 2], 2, central=True)
    assert max_regions(np.int64(3), np.int64(2)) == 7
    assert isinstance(max_regions(np.int64(3), np.int64(2)), int)
    assert math.isclose(max_regions(4, 50), 16)


def test_a_skip_past_a_narrow_layer_keeps_the_dimensions():
    """x + b(relu(a(x))) has rank 2 behind one unit; the bound for chains would be 2 * 17."""
    torch.manual_seed(0)

    class Skip(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(2, 1), nn.Linear(1, 2)
            self.c, self.d = nn.Linear(2, 16), nn.Linear(16, 1)

        def forward(self, x):
            return self.d((self.c(x + self.b(self.a(x).relu()))).relu())

    found = len(enumerate_regions(Skip(), [-10, -10], [10, 10]))
    assert max_regions([1, 16], 2) == 34 < found
    assert found <= max_regions([1, 16], 2, residual=True) == 2 * (1 + 16 + 120)
