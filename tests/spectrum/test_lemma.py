"""The paper's formulas as printed: which of them hold, and which only when mended."""

import itertools
import math

import numpy as np
import pytest
from scipy import integrate, special

from bandlimiter.errors import InputError
from bandlimiter.geometry import cone_decomposition
from bandlimiter.spectrum import (
    ball_transfer,
    cone_transform,
    network_transform,
    unit_simplex_gradient,
    unit_simplex_transform,
)
from tests.spectrum.networks import frequencies, perceptron, worst
from tests.spectrum.quadrature import simplices_transform, transform_by_product_rule


def unit_simplex(dim: int) -> np.ndarray:
    return np.eye(dim + 1, dim, k=-1)[None]


def printed(waves: np.ndarray) -> np.ndarray:
    """Equation 3, with w_0 = 0."""
    w = np.concatenate([np.zeros((len(waves), 1)), waves], axis=1)
    total = np.zeros(len(w), dtype=complex)
    for r in range(w.shape[1]):
        others = np.delete(w, r, axis=1)
        total += np.exp(-1j * w[:, r]) / np.prod(others - w[:, r, None], axis=1)
    return (-1j / math.sqrt(2 * math.pi)) ** waves.shape[1] * total


@pytest.mark.parametrize("dim", range(1, 6))
def test_lemma_2_6_as_printed(dim):
    """It is right, for frequencies that are far enough apart for it to keep its digits."""
    steps = np.random.default_rng(dim).uniform(1, 4, size=(50, dim))
    signs = np.random.default_rng(dim).choice([-1, 1], size=(50, 1))
    waves = np.random.default_rng(dim).permuted(signs * np.cumsum(steps, axis=1), axis=1)
    error, where = worst(unit_simplex_transform(waves), printed(waves), waves)
    # n + 1 terms of modulus one at most, as nodes are 1 and more apart.
    assert error < 1e-14, where


@pytest.mark.parametrize(("dim", "count"), [(1, 40), (2, 30), (3, 24), (4, 14)])
def test_transform_and_gradient_by_cubature(dim, count):
    waves = np.concatenate([frequencies(10, dim, 0, 12), np.full((1, dim), 3.0)])
    expected = simplices_transform(
        lambda x: np.concatenate([np.ones((len(x), 1)), -1j * x], axis=1),
        unit_simplex(dim),
        waves,
        count=count,
    )
    found = np.concatenate(
        [unit_simplex_transform(waves)[:, None], unit_simplex_gradient(waves)], axis=1
    )
    error, where = worst(found, expected, waves)
    # Phases of at most 12, which so many Gauss points integrate to rounding.
    assert error < 1e-14, where


@pytest.mark.parametrize("dim", range(1, 7))
def test_the_gradient_by_differences(dim):
    waves, step = frequencies(20, dim, 0, 30), 1e-3
    found = unit_simplex_gradient(waves)
    assert found.shape == (20, dim)
    for axis in range(dim):
        e = step * np.eye(dim)[axis]
        near, far = (
            (unit_simplex_transform(waves + k * e) - unit_simplex_transform(waves - k * e))
            / (2 * k * step)
            for k in (1, 2)
        )
        # By Richardson's step the rest is step^4 / 30 of a fifth derivative of at most one,
        # and the differences' roundings are 1e-16 / step.
        error, where = worst(found[:, axis], (4 * near - far) / 3, waves)
        assert error < 1e-12, where


def test_values_at_zero():
    for dim in (1, 2, 3, 6, 11):
        zero, factor = np.zeros((1, dim)), (2 * math.pi) ** (-dim / 2)
        volume = unit_simplex_transform(zero)[0]
        assert volume == pytest.approx(factor / math.factorial(dim), rel=1e-15)
        moments = unit_simplex_gradient(zero)[0]
        expected = np.full(dim, -1j * factor / math.factorial(dim + 1))
        np.testing.assert_allclose(moments, expected, rtol=1e-15)


@pytest.mark.parametrize("function", [unit_simplex_transform, unit_simplex_gradient])
def test_refusals(function):
    for bad in (
        np.zeros(2),
        np.zeros((1, 2, 3)),
        np.zeros((1, 0)),
        [[math.nan, 0.0]],
        [[0.0, math.inf]],
    ):
        with pytest.raises(InputError, match=r"finite frequencies \[F, n\]"):
            function(bad)
    with pytest.raises(InputError, match="1 to 13 nodes"):
        function(np.zeros((1, 13)))


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_theorem_2_7_lacks_a_factor(dim):
    """As printed, without i / |det A_q|, it is not the transform; mended, it is."""
    network = perceptron(dim, 5, 1, bias=False, seed=2)
    lower, upper = -np.ones(dim), np.ones(dim)
    waves = frequencies(6, dim, 0.5, 8)
    cones = cone_decomposition(network, lower, upper)
    as_printed, mended = np.zeros((2, len(waves)), dtype=complex)
    for rays, weights in zip(cones.rays, cones.weights, strict=True):
        inverse = rays.T  # A_q^-1 has the rays as columns, so that A_q maps v_j to e_j
        term = unit_simplex_gradient(waves @ inverse) @ (weights[0] @ inverse)
        as_printed += term
        mended += 1j * abs(np.linalg.det(inverse)) * term

    expected = transform_by_product_rule(
        network, lower, upper, waves, cells={1: 4000, 2: 400, 3: 60}[dim], per_cell=2
    )[:, 0]
    size = np.abs(expected).max()
    # The rule's own error, in cells that a kink passes through: cell^2 times small factors.
    error, where = worst(mended / size, expected / size, waves)
    assert error < 1e-6, where
    assert np.abs(as_printed - expected).min() > 0.1 * np.abs(expected).max()
    # Nor is the missing factor one number.
    ratio = as_printed / expected
    if dim > 1:
        assert np.ptp(np.abs(ratio)) > 0.1 * np.abs(ratio).mean()
    found = cone_transform(network, waves, lower=lower, upper=upper)[:, 0]
    np.testing.assert_allclose(mended, found, atol=1e-14)


@pytest.mark.parametrize(("dim", "factor"), [(1, 2.5066), (2, 6.2832), (3, 15.7496)])
def test_equation_6_lacks_a_factor(dim, factor):
    """The mean of exp(i w.x) over the ball is (2 pi)^(n/2) times what is printed."""
    radius, lengths = 0.7, np.array([0.5, 3.0, 10.0])
    z = radius * lengths
    as_printed = (
        math.gamma(dim / 2 + 1) / math.pi ** (dim / 2) * special.jv(dim / 2, z) / z ** (dim / 2)
    )
    mean = np.array([mean_over_ball(dim, s) for s in z])
    found = ball_transfer(lengths, radius, dim)
    np.testing.assert_allclose(found, mean, atol=1e-12)
    np.testing.assert_allclose(found / as_printed, factor, atol=5e-5)  # as many digits as given


def mean_over_ball(dim: int, s: float) -> float:
    """The mean of cos(s u), u one coordinate of a uniform point of the unit ball."""

    def slice_at(u: float) -> float:
        return (1 - u**2) ** ((dim - 1) / 2)

    whole, _ = integrate.quad(lambda u: slice_at(u) * math.cos(s * u), -1, 1, epsabs=1e-13)
    return whole / integrate.quad(slice_at, -1, 1, epsabs=1e-13)[0]


WAVES = np.array([0.5, 2.0, 5.0, 9.0])


def with_and_without_bias():
    """relu(x - 1/2) on [0, 1], and relu(x - b/2) on [0, 1] x [0, 2]: footnote 1's f and f~."""
    biased, unbiased = perceptron(1, 1, 1), perceptron(2, 1, 1, bias=False)
    for network, weights in ((biased, [[1.0]]), (unbiased, [[1.0, -0.5]])):
        network[0].weight.data = network[0].weight.new_tensor(weights)
        network[2].weight.data = network[2].weight.new_ones(1, 1)
    biased[0].bias.data.fill_(-0.5)
    biased[2].bias.data.zero_()
    return biased, unbiased


def lifted(network, etas) -> np.ndarray:
    """F~ at all pairs of a frequency and an eta: [F, E]."""
    pairs = np.array(list(itertools.product(WAVES, etas)))
    found = network_transform(network, pairs, lower=[0, 0], upper=[1, 2])
    return found.reshape(len(WAVES), len(etas))


def test_footnote_1_is_an_integral_over_all_of_the_lifted_transform():
    """f(x) = f~(x, 1) gives F(w) = (2 pi)^(-1/2) * integral of F~(w, eta) exp(i eta).

    On an interval of length 2 for the bias, the integral over eta is the sum over the
    multiples of pi, times pi.
    """
    biased, unbiased = with_and_without_bias()
    k = np.arange(-4000, 4001)
    terms = lifted(unbiased, math.pi * k) * np.exp(1j * math.pi * k)
    sums = terms * math.pi / math.sqrt(2 * math.pi)
    # Symmetric sums up to K swing around the limit by less than 1/K: their mean is closer by
    # another 1/K.
    last, but_one = sums.sum(axis=1), sums[:, 1:-1].sum(axis=1)
    expected = network_transform(biased, WAVES[:, None], lower=0, upper=1)[:, 0]
    np.testing.assert_allclose((last + but_one) / 2, expected, atol=1e-7, rtol=0)


def test_footnote_1_fails_for_transforms():
    """A bias as one more constant input is right for f; but F is F~ at no frequency eta."""
    biased, unbiased = with_and_without_bias()
    expected = network_transform(biased, WAVES[:, None], lower=0, upper=1)[:, 0]
    found = lifted(unbiased, np.linspace(-20, 20, 401))
    # Not even up to a constant: what the best multiple leaves of the energy.
    kept = np.abs(found.conj().T @ expected) ** 2 / (np.abs(found) ** 2).sum(axis=0)
    left = 1 - kept / (np.abs(expected) ** 2).sum()
    assert left.min() > 0.01
