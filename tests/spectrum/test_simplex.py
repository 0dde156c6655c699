"""The transform of affine functions on simplices: references, closed forms, limits."""

import itertools
import math
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bandlimiter.errors import InputError
from bandlimiter.spectrum import simplex_transform
from tests.spectrum.networks import frequencies, worst
from tests.spectrum.quadrature import simplices_transform

# Written by tools/make_transform_references.py, with 600 digits and more.
REFERENCES = np.load(Path(__file__).parent / "references/simplex_transforms.npz")
DIMENSIONS = range(1, 7)
EPS = 2.0**-52


class Cases:
    """The references of one n: kinds 0 to 5, or (``high_``) those at |w| = 1e4."""

    def __init__(self, prefix: str, dim: int, every: int = 1) -> None:
        def read(key: str) -> np.ndarray:
            return REFERENCES[f"{prefix}{key}_{dim}"][::every]

        self.vertices, self.values = read("vertices"), read("values")
        self.waves, self.expected = read("frequency"), read("transform")
        self.largest, self.kind = read("largest"), read("kind")

    def errors(self, *, compiled: bool) -> np.ndarray:
        found = [
            simplex_transform(v[None], f[None, :, None], w[None], compiled=compiled)[0, 0]
            for v, f, w in zip(self.vertices, self.values, self.waves, strict=True)
        ]
        return np.abs(np.array(found) - self.expected)

    def worst(self, measure: np.ndarray) -> tuple[float, str]:
        """The largest of some errors, and a sentence on its case."""
        i = int(measure.argmax())
        return float(measure[i]), (
            f"n = {self.waves.shape[1]}, kind {self.kind[i]}: {measure[i]:.2e} at vertices "
            f"{self.vertices[i].tolist()}, values {self.values[i].tolist()}, w = "
            f"{self.waves[i].tolist()}"
        )


@pytest.mark.parametrize("dim", DIMENSIONS)
@pytest.mark.parametrize("prefix", ["", "high_"])
def test_against_six_hundred_digits(prefix, dim):
    cases = Cases(prefix, dim)
    errors = cases.errors(compiled=True)
    # An error is a few roundings of the largest term, however high the frequency: nodes
    # are known to 32 digits. Up to 5e-15 is seen, at n = 6.
    error, where = cases.worst(errors / cases.largest)
    assert error < 2e-14, where
    # So it is a thousand times that at most where no more than three digits cancel: hence
    # the documented 1e-11. No case here has both at their worst: 2e-14 is seen, at n = 5.
    kept = np.abs(cases.expected) > 1e-3 * cases.largest
    assert kept.mean() > 0.99
    relative = np.where(kept, errors / np.abs(cases.expected), 0)
    error, where = cases.worst(relative)
    which = "|w| = 1e4" if prefix else "all kinds"
    print(f"\nlargest relative error, {which}, {where.split(' at ')[0]}")
    assert error < 1e-13, where


@pytest.mark.parametrize("dim", DIMENSIONS)
@pytest.mark.parametrize("prefix", ["", "high_"])
def test_the_plain_statement_against_six_hundred_digits(prefix, dim):
    cases = Cases(prefix, dim, every=5 * dim if not prefix else 1)
    lengths = np.linalg.norm(cases.waves, axis=1)
    # Phases w.v of up to |w| sqrt(n) are rounded to a double; and the table's few roundings.
    tolerance = EPS * (30 + lengths * math.sqrt(dim)) * cases.largest
    error, where = cases.worst(cases.errors(compiled=False) / tolerance)
    assert error < 1, where


def cube(dim: int) -> np.ndarray:
    """The unit cube cut into n! simplices: 0 <= x_p(1) <= ... <= x_p(n) <= 1."""
    corners = []
    for order in itertools.permutations(range(dim)):
        path = np.zeros((dim + 1, dim))
        for step, axis in enumerate(order, start=1):
            path[step:, axis] = 1
        corners.append(path)
    return np.array(corners)


@pytest.mark.parametrize("dim", DIMENSIONS)
def test_the_unit_cube(dim):
    """For 1 and each coordinate, the transform is a product of those over [0, 1]."""
    vertices = cube(dim)
    values = np.concatenate([np.ones((*vertices.shape[:2], 1)), vertices], axis=2)
    waves = np.concatenate([frequencies(20, dim, 0.1, 60), np.eye(dim) * 7, np.zeros((1, dim))])
    flat = np.array([[segment(w) for w in row] for row in waves])
    sloped = np.array([[sloped_segment(w) for w in row] for row in waves])
    products = [flat.prod(axis=1)]
    for axis in range(dim):
        factors = flat.copy()
        factors[:, axis] = sloped[:, axis]
        products.append(factors.prod(axis=1))
    expected = np.stack(products, axis=1) * (2 * math.pi) ** (-dim / 2)
    error, where = worst(simplex_transform(vertices, values, waves), expected, waves)
    # Of a value of at most one; the closed forms divide by w and by w^2: thousands of units.
    assert error < 5e-12, where


def segment(w: float) -> complex:
    return 1.0 if w == 0 else (1 - np.exp(-1j * w)) / (1j * w)


def sloped_segment(w: float) -> complex:
    return 0.5 if w == 0 else (np.exp(-1j * w) * (1 + 1j * w) - 1) / w**2


@pytest.mark.parametrize(("dim", "count"), [(1, 40), (2, 30), (3, 24), (4, 14)])
def test_against_cubature(dim, count):
    rng = np.random.default_rng(dim)
    vertices, slope = rng.random((3, dim + 1, dim)), rng.normal(size=(dim, 2))
    waves = frequencies(10, dim, 0, 12)
    expected = simplices_transform(lambda x: x @ slope + 1, vertices, waves, count=count)
    error, where = worst(simplex_transform(vertices, vertices @ slope + 1, waves), expected, waves)
    # Phases run over 12 sqrt(n) at most, which so many Gauss points integrate to 1e-14.
    assert error < 1e-13, where


@pytest.mark.parametrize("dim", range(1, 12))
def test_compiled_and_plain_agree(dim):
    rng = np.random.default_rng(dim)
    vertices = rng.random((5, dim + 1, dim))
    values, waves = rng.normal(size=(5, dim + 1, 3)), frequencies(12, dim, 0, 30)
    found = simplex_transform(vertices, values, waves)
    plain = simplex_transform(vertices, values, waves, compiled=False)
    # Relative to the size at w = 0, which the terms at these w are below: so their phases of
    # 30 sqrt(n) in one double count less than that.
    size = np.abs(simplex_transform(vertices, np.abs(values), np.zeros((1, dim)))).max()
    error, where = worst(found / size, plain / size, waves)
    assert error < EPS * (5 + 5 * math.sqrt(dim)), where


class TestLaws:
    """What any Fourier transform of a sum over simplices obeys."""

    @staticmethod
    def case(dim: int, seed: int, count: int = 4):
        rng = np.random.default_rng([dim, seed])
        vertices = rng.normal(size=(count, dim + 1, dim))
        return vertices, rng.normal(size=(count, dim + 1, 2)), frequencies(8, dim, 0, 40, seed)

    some = settings(max_examples=15, deadline=None)
    cases = (st.integers(1, 5), st.integers(0, 10**6))

    @some
    @given(*cases)
    def test_zero_frequency_is_the_integral(self, dim, seed):
        vertices, values, _ = self.case(dim, seed)
        volumes = np.abs(np.linalg.det(vertices[:, 1:] - vertices[:, :1])) / math.factorial(dim)
        expected = volumes @ values.mean(axis=1) * (2 * math.pi) ** (-dim / 2)
        found = simplex_transform(vertices, values, np.zeros((1, dim)))[0]
        # The sum's roundings, and a determinant's.
        np.testing.assert_allclose(found.real, expected, atol=1e-13 * volumes.max() * 10, rtol=0)
        assert (found.imag == 0).all()

    @some
    @given(*cases)
    def test_opposite_frequencies_are_conjugate(self, dim, seed):
        vertices, values, waves = self.case(dim, seed)
        found = simplex_transform(vertices, values, waves)
        opposite = simplex_transform(vertices, values, -waves)
        self.agree(opposite, found.conj(), vertices, values, waves)

    @some
    @given(*cases)
    def test_translation(self, dim, seed):
        vertices, values, waves = self.case(dim, seed)
        vertices = np.round(vertices * 2**30) / 2**30  # so that the sum below is exact
        shift = np.random.default_rng(seed).integers(-64, 64, size=dim) / 4
        found = simplex_transform(vertices + shift, values, waves)
        expected = simplex_transform(vertices, values, waves)
        # The factor's phase of 16 * 40 sqrt(n) is rounded here, not in the library.
        expected = expected * np.exp(-1j * (waves @ shift))[:, None]
        self.agree(found, expected, vertices, values, waves, 1e-12)

    @some
    @given(*cases)
    def test_linear_maps(self, dim, seed):
        """f(M^-1 x) has the transform |det M| F(M^T w): scaling, shear and all."""
        vertices, values, waves = self.case(dim, seed)
        matrix = np.random.default_rng(seed).normal(size=(dim, dim))
        found = simplex_transform(vertices @ matrix.T, values, waves)
        scale = abs(np.linalg.det(matrix))
        expected = scale * simplex_transform(vertices, values, waves @ matrix)
        # Vertices and frequencies are rounded after the map: phases of up to 1000 to 1e-13.
        self.agree(found, expected, vertices, values * (1 + scale), waves, 1e-12)

    @some
    @given(*cases)
    def test_rotation(self, dim, seed):
        vertices, values, waves = self.case(dim, seed)
        turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(dim, dim)))[0]
        found = simplex_transform(vertices @ turn.T, values, waves @ turn.T)
        expected = simplex_transform(vertices, values, waves)
        self.agree(found, expected, vertices, values, waves, 1e-12)  # as above

    @some
    @given(*cases)
    def test_linear_in_the_values(self, dim, seed):
        vertices, values, waves = self.case(dim, seed)
        mixture = np.array([[2.0, -0.5], [1.0, 0.25]])
        found = simplex_transform(vertices, values @ mixture, waves)
        expected = simplex_transform(vertices, values, waves) @ mixture
        self.agree(found, expected, vertices, values, waves)

    @some
    @given(*cases)
    def test_a_simplex_cut_in_two(self, dim, seed):
        vertices, values, waves = self.case(dim, seed, count=1)
        share = np.random.default_rng(seed).uniform(0.01, 0.99)
        halves = []
        for old in (0, 1):
            for whole in (vertices, values):
                part = whole.copy()
                part[0, old] = share * whole[0, 0] + (1 - share) * whole[0, 1]
                halves.append(part)
        found = simplex_transform(np.concatenate(halves[0::2]), np.concatenate(halves[1::2]), waves)
        expected = simplex_transform(vertices, values, waves)
        # The new vertex is rounded, and so are phases there.
        self.agree(found, expected, vertices, values, waves, 1e-12)

    @some
    @given(*cases)
    def test_vertices_in_another_order(self, dim, seed):
        vertices, values, waves = self.case(dim, seed)
        order = np.random.default_rng(seed).permutation(dim + 1)
        found = simplex_transform(vertices[:, order], values[:, order], waves)
        self.agree(found, simplex_transform(vertices, values, waves), vertices, values, waves)

    @staticmethod
    def agree(found, expected, vertices, values, waves, tolerance=1e-13) -> None:
        """Compare relative to the largest possible modulus."""
        dim = vertices.shape[2]
        ones = np.ones((*vertices.shape[:2], 1))
        size = np.abs(simplex_transform(vertices, ones, np.zeros((1, dim)))).max()
        size *= np.abs(values).max()
        error, where = worst(found / size, expected / size, waves)
        assert error < tolerance, where


def test_a_simplex_without_volume_contributes_nothing():
    flat = np.array(
        [
            [[0.1, 0.2], [0.1, 0.2], [0.9, 0.5]],  # a vertex twice
            [[0.3, 0.3], [0.3, 0.3], [0.3, 0.3]],  # one point
            [[0.0, 0.0], [0.25, 0.5], [0.5, 1.0]],  # on a line
        ]
    )
    whole = np.array([[[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]])
    waves = np.concatenate([frequencies(5, 2, 0, 100), [[2.0, -1.0], [0.0, 0.0], [1e4, 0.0]]])
    for compiled in (True, False):
        alone = simplex_transform(flat, np.ones((3, 3, 2)), waves, compiled=compiled)
        np.testing.assert_array_equal(alone, 0)
        expected = simplex_transform(whole, np.ones((1, 3, 2)), waves, compiled=compiled)
        both = simplex_transform(
            np.concatenate([flat, whole]), np.ones((4, 3, 2)), waves, compiled=compiled
        )
        # The plain one sums in numpy's order, which the number of terms changes.
        np.testing.assert_allclose(both, expected, atol=0 if compiled else 1e-16, rtol=0)
    segment = simplex_transform([[[0.4], [0.4]]], np.ones((1, 2, 1)), [[3.0]])
    np.testing.assert_array_equal(segment, 0)


def test_a_simplex_as_flat_as_rounding_allows():
    """Its volume in doubles is lost in the determinant's cancellation; in pairs it is not."""
    # Exact: edges (1, 1 + 2^-40) and (1 - 2^-41, 1), so that |det| = 2^-41 - 2^-40 + 2^-81.
    corners = [[0.0, 0.0], [1.0, 1 + 2.0**-40], [1 - 2.0**-41, 1.0]]
    exact = abs(2.0**-41 - 2.0**-40 + 2.0**-81)
    area = simplex_transform([corners], np.ones((1, 3, 1)), np.zeros((1, 2)))[0, 0]
    assert area.real * 2 * math.pi == pytest.approx(exact / 2, rel=1e-15)


def test_no_simplices_and_no_frequencies():
    nothing = simplex_transform(np.zeros((0, 3, 2)), np.zeros((0, 3, 4)), np.ones((5, 2)))
    np.testing.assert_array_equal(nothing, np.zeros((5, 4)))
    assert simplex_transform(cube(2), np.ones((2, 3, 4)), np.zeros((0, 2))).shape == (0, 4)
    assert simplex_transform(cube(2), np.ones((2, 3, 0)), np.ones((5, 2))).shape == (5, 0)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_refuses_numbers_that_are_none(bad):
    vertices, values, waves = cube(2), np.ones((2, 3, 1)), np.ones((4, 2))
    for name, index in (("vertices", 0), ("values", 1), ("frequencies", 2)):
        given = [vertices.copy(), values.copy(), waves.copy()]
        given[index].flat[1] = bad
        with pytest.raises(InputError, match=f"finite {name}"):
            simplex_transform(*given)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((3, 2), (1, 3, 1), (4, 2)), "vertices with 3 axes"),
        (((1, 3, 3), (1, 3, 1), (4, 3)), r"vertices \[Q, n \+ 1, n\]"),
        (((1, 1, 0), (1, 1, 1), (4, 0)), r"vertices \[Q, n \+ 1, n\]"),
        (((1, 13, 12), (1, 13, 1), (4, 12)), "at most 11 dimensions"),
        (((1, 3, 2), (1, 3), (4, 2)), "values with 3 axes"),
        (((1, 3, 2), (2, 3, 1), (4, 2)), r"values \[1, 3, m\]"),
        (((1, 3, 2), (1, 2, 1), (4, 2)), r"values \[1, 3, m\]"),
        (((1, 3, 2), (1, 3, 1), (2,)), "frequencies with 2 axes"),
        (((1, 3, 2), (1, 3, 1), (4, 3)), r"frequencies \[F, 2\]"),
    ],
)
def test_refuses_shapes_that_do_not_fit(shapes, message):
    with pytest.raises(InputError, match=message):
        simplex_transform(*map(np.zeros, shapes))


def many(count: int, dim: int = 2):
    rng = np.random.default_rng(0)
    return rng.random((count, dim + 1, dim)), rng.random((count, dim + 1, 1))


def test_memory_does_not_grow_with_simplices_times_frequencies():
    vertices, values = many(200_000)
    waves = frequencies(50, 2, 1, 100)
    simplex_transform(vertices[:1], values[:1], waves[:1])
    tracemalloc.start()
    try:
        simplex_transform(vertices, values, waves)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # All terms at once would be 200,000 * 50 * 16 bytes, 160 MB; a block's nodes are 0.2 MB.
    assert peak < 4e6, f"{peak / 1e6:.1f} MB"


def test_the_number_of_threads_changes_no_bit():
    vertices, values = many(5000)
    waves = frequencies(301, 2, 0, 1000)
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(simplex_transform(vertices, values, waves))
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(found[1], found[0])
    np.testing.assert_array_equal(found[2], found[0])


def test_progress_is_told():
    vertices, values = many(5000)
    seen = []
    simplex_transform(
        vertices, values, np.ones((1, 2)), progress=lambda done, total: seen.append((done, total))
    )
    assert seen[-1] == (5000, 5000)
    assert seen == sorted(seen)
    assert len(seen) > 1
