"""What any Fourier transform obeys, of networks on boxes; for simplices see test_simplex."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bandlimiter.geometry import enumerate_regions
from bandlimiter.spectrum import network_transform, regions_transform, simplex_transform
from tests.spectrum.networks import evaluate, frequencies, moved, perceptron, worst
from tests.spectrum.quadrature import breakpoints, gauss

some = settings(max_examples=8, deadline=None)
cases = st.tuples(st.integers(1, 3), st.integers(0, 10**6), st.booleans())


class Case:
    """A network with a hidden layer or two, a box around the origin, and frequencies."""

    def __init__(self, case: tuple[int, int, bool]) -> None:
        self.dim, self.seed, bias = case
        rng = self.rng = np.random.default_rng(self.seed)
        hidden = rng.integers(2, {1: 9, 2: 8, 3: 5}[self.dim], size=rng.integers(1, 3))
        self.network = perceptron(self.dim, *map(int, hidden), 2, bias=bias, seed=self.seed)
        self.lower = -rng.uniform(0.3, 1.5, size=self.dim)
        self.upper = rng.uniform(0.3, 1.5, size=self.dim)
        self.waves = frequencies(8, self.dim, 0, 60, self.seed)

    def transform(self, waves) -> np.ndarray:
        return network_transform(self.network, waves, lower=self.lower, upper=self.upper)

    def agrees(self, found, expected, tolerance: float) -> None:
        """Compare relative to the integral of the modulus, as large as a transform can be."""
        volume = np.prod(self.upper - self.lower)
        points = self.rng.uniform(self.lower, self.upper, size=(200, self.dim))
        size = volume * np.abs(evaluate(self.network, points)).mean() + 1e-300
        error, where = worst(found / size, expected / size, self.waves)
        assert error < tolerance, f"seed {self.seed}, dim {self.dim}: {where}"


@some
@given(cases)
def test_zero_frequency_is_the_integral(given):
    case = Case(given)
    regions = enumerate_regions(case.network, case.lower, case.upper)
    corners = regions.vertices[regions.triangulation.simplices]
    volumes = np.abs(np.linalg.det(corners[:, 1:] - corners[:, :1])) / math.factorial(case.dim)
    means = evaluate(case.network, corners.reshape(-1, case.dim)).reshape(*corners.shape[:2], -1)
    expected = (2 * math.pi) ** (-case.dim / 2) * volumes @ means.mean(axis=1)
    found = case.transform(np.zeros((1, case.dim)))
    assert (found.imag == 0).all()
    # Sums of a few hundred terms of either sign.
    np.testing.assert_allclose(found[0].real, expected, rtol=1e-12, atol=1e-13)


@some
@given(cases)
def test_opposite_frequencies_are_conjugate(given):
    case = Case(given)
    case.agrees(case.transform(-case.waves), case.transform(case.waves).conj(), 1e-14)


@some
@given(cases)
def test_translation(given):
    """f(x - a) on the box moved by a has the transform exp(-i w.a) F(w)."""
    case = Case(given)
    shift = case.rng.normal(size=case.dim)
    found = network_transform(
        moved(case.network, np.eye(case.dim), -shift),
        case.waves,
        lower=case.lower + shift,
        upper=case.upper + shift,
    )
    expected = np.exp(-1j * case.waves @ shift)[:, None] * case.transform(case.waves)
    # Box and vertices are rounded anew: phases of 60 * 4 to 1e-13 or so, and terms of such
    # frequencies are a hundredth of the size.
    case.agrees(found, expected, 1e-13)


@some
@given(cases)
def test_scaling(given):
    """f(x / s), axis by axis, on the box scaled by s: the product of s times F(s w)."""
    case = Case(given)
    scale = case.rng.uniform(0.3, 3, size=case.dim)
    found = network_transform(
        moved(case.network, np.diag(1 / scale), np.zeros(case.dim)),
        case.waves / scale,
        lower=case.lower * scale,
        upper=case.upper * scale,
    )
    case.agrees(found / scale.prod(), case.transform(case.waves), 1e-13)  # as above


@some
@given(cases)
def test_reflection(given):
    """f(-x) on the mirrored box: F(-w)."""
    case = Case(given)
    found = network_transform(
        moved(case.network, -np.eye(case.dim), np.zeros(case.dim)),
        case.waves,
        lower=-case.upper,
        upper=-case.lower,
    )
    case.agrees(found, case.transform(-case.waves), 1e-14)


@some
@given(st.tuples(st.sampled_from([2, 3]), st.integers(0, 10**6), st.booleans()))
def test_rotation(given):
    """f turned, on the box turned (which is no box): F turned."""
    case = Case(given)
    turn = np.linalg.qr(case.rng.normal(size=(case.dim, case.dim)))[0]
    regions = enumerate_regions(case.network, case.lower, case.upper)
    corners = regions.vertices[regions.triangulation.simplices] @ turn.T
    turned = moved(case.network, turn.T, np.zeros(case.dim))
    values = evaluate(turned, corners.reshape(-1, case.dim)).reshape(*corners.shape[:2], -1)
    found = simplex_transform(corners, values, case.waves @ turn.T)
    case.agrees(found, regions_transform(regions, case.waves), 1e-13)  # as above


@some
@given(cases)
def test_linear_in_the_outputs(given):
    case = Case(given)
    mixture = torch.tensor([[2.0, -0.5], [1.0, 0.25], [0.0, 1.0]]).double()
    mixed = moved(case.network, np.eye(case.dim), np.zeros(case.dim))  # a copy
    last = mixed[-1]
    with torch.no_grad():
        last.weight = torch.nn.Parameter(mixture @ last.weight)
        if last.bias is not None:
            last.bias = torch.nn.Parameter(mixture @ last.bias)
    found = network_transform(mixed, case.waves, lower=case.lower, upper=case.upper)
    case.agrees(found, case.transform(case.waves) @ mixture.numpy().T, 1e-14)


@some
@given(cases)
def test_a_box_cut_in_two(given):
    case = Case(given)
    middle = case.rng.uniform(case.lower, case.upper)
    low, high = case.lower.copy(), case.upper.copy()
    low[0] = high[0] = middle[0]
    halves = [
        network_transform(case.network, case.waves, lower=lower, upper=upper)
        for lower, upper in ((case.lower, high), (low, case.upper))
    ]
    case.agrees(sum(halves), case.transform(case.waves), 1e-14)


@pytest.mark.parametrize("seed", range(4))
def test_parseval(seed):
    """The energy of f minus its chord is that of its Fourier series, up to the series' tail."""
    network, lower, upper = perceptron(1, 8, 6, 2, seed=seed), -1.0, 1.5
    length, terms = upper - lower, 2000
    k = np.concatenate([np.arange(-terms, 0), np.arange(1, terms + 1)])
    waves = 2 * math.pi * k / length
    transform = network_transform(network, waves[:, None], lower=lower, upper=upper)

    ends = evaluate(network, np.array([[lower], [upper]]))
    slope = (ends[1] - ends[0]) / length
    # The integral of (x - lower) exp(-i w x) where w is a multiple of 2 pi / length.
    sawtooth = length * 1j / waves * np.exp(-1j * waves * lower) / math.sqrt(2 * math.pi)
    rest = transform - sawtooth[:, None] * slope

    def without_chord(x: np.ndarray) -> np.ndarray:
        return evaluate(network, x[:, None]) - ends[0] - slope * (x - lower)[:, None]

    # Between breakpoints the square is a parabola, which two Gauss points integrate.
    edges = breakpoints(network, lower, upper)
    nodes, weights = gauss(2)
    steps = np.diff(edges)
    x = (edges[:-1, None] + steps[:, None] * nodes).ravel()
    rule = (steps[:, None] * weights).ravel()
    values = without_chord(x)
    mean = (rule @ values) / length
    energy = rule @ values**2 - length * mean**2

    found = 2 * math.pi / length * (np.abs(rest) ** 2).sum(axis=0)
    # What is left out: |F| is at most the sum of all jumps of the slope, the one between
    # upper and lower end too, over sqrt(2 pi) w^2; summed over |k| > 2000.
    middles = (edges[1:] + edges[:-1]) / 2
    slopes = (without_chord(middles + 1e-9) - without_chord(middles - 1e-9)) / 2e-9
    jumps = np.abs(slopes - np.roll(slopes, 1, axis=0)).sum(axis=0)
    tail = 2 / length * jumps**2 * (length / (2 * math.pi)) ** 4 / (3 * terms**3)
    assert (tail < 1e-7 * energy).all()
    assert (found <= energy * (1 + 1e-12)).all(), (found, energy)
    assert (found >= energy * (1 - 1e-12) - tail).all(), (found, energy, tail)
