import math

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import betaincinv
from scipy.stats import norm

from bandlimiter.defence.certificates import (
    ball_distance,
    ball_radius,
    bar,
    certified_radius,
    gaussian_radius,
    noise_length,
)
from bandlimiter.errors import ConfigurationError
from bandlimiter.sampling import UniformBall
from bandlimiter.tensors import generator

margins = st.floats(1e-6, 1)


def test_radii_at_cifar_s_size():
    """Of probabilities p and 1 - p; computed for the project's design by other code."""
    found = ball_radius([2 * p - 1 for p in (0.9, 0.99, 1.0)], 6.0, 3072)
    np.testing.assert_allclose(found, [0.1135, 0.1426, 0.1460], atol=5e-5)  # printed digits


@pytest.mark.parametrize("dim", [1, 2, 3, 10])
def test_overlap_of_two_balls_by_counting(dim):
    rng = np.random.default_rng(dim)
    if dim == 10:  # hardly any point of a cube is in its ball
        points = UniformBall().vectors(33_334, dim, generator(0, "overlap")).numpy()
    else:
        cube = rng.uniform(-1, 1, (400_000, dim))
        points = cube[np.linalg.norm(cube, axis=1) <= 1]
    for distance in (0.1, 0.7, 1.5):
        moved = points - distance * np.eye(dim)[0]
        outside = np.linalg.norm(moved, axis=1) > 1
        # Five standard errors of a share among at least 200,000 points.
        assert abs(outside.mean() - ball_distance(distance, 1.0, dim)) < 5 * 0.5 / 200_000**0.5


@pytest.mark.parametrize("dim", [1, 2, 3, 3072, 150_528])
def test_the_radius_solves_its_equation_to_the_last_digits(dim):
    """2 TV(R) = m, with TV as a hypergeometric series in 50 digits."""
    for margin in (1e-15, 1e-8, 1e-3, 0.5, 0.98, 1.0):
        radius = float(ball_radius(margin, 6.0, dim))
        with mpmath.workdps(50):
            half, b = mpmath.mpf(1) / 2, mpmath.mpf(dim + 1) / 2
            t = mpmath.mpf(radius) / 12
            series = mpmath.hyp2f1(half, 1 - b, mpmath.mpf(3) / 2, t * t)
            lead = 2 * (2 * t * series / mpmath.beta(half, b))
            # TV is concave, so an error of 1e-14 in R is at most one in m.
            assert abs(lead / margin - 1) < 1e-14


@given(margin=st.floats(0.01, 1), dim=st.integers(1, 5000))
def test_is_the_usual_form_where_that_keeps_its_digits(margin, dim):
    b = (dim + 1) / 2
    usual = 2 - 4 * betaincinv(b, b, 0.5 - margin / 4)
    # 2 - 4 * (nearly 1/2) loses what 1/2 is larger than R: here up to 1e5 ulp.
    assert math.isclose(float(ball_radius(margin, 1.0, dim)), usual, rel_tol=1e-9)


@given(margin=st.floats(1e-3, 0.999), place=st.floats(0, 1))
def test_gaussian_radius_is_the_least_of_all_splits_of_the_margin(margin, place):
    """Cohen's rule for any p and q = p - m with p + q <= 1 or more: never below ours."""
    p = margin + place * (1 - margin)
    cohen = (norm.ppf(p) - norm.ppf(p - margin)) / 2 if p - margin > 0 and p < 1 else math.inf
    ours = float(gaussian_radius(margin, 1.0, 1))
    assert cohen >= ours * (1 - 1e-12)
    even = (norm.ppf((1 + margin) / 2) - norm.ppf((1 - margin) / 2)) / 2
    assert math.isclose(ours, even, rel_tol=1e-9)  # ppf near 1 - 1e-3 rounds its argument


def test_gaussian_radius_of_votes_is_cohen_s():
    p = np.array([0.6, 0.9, 0.99])
    sigma = 6 / math.sqrt(3072)
    np.testing.assert_allclose(
        gaussian_radius(2 * p - 1, 6.0, 3072), sigma * norm.ppf(p), rtol=1e-12
    )


@pytest.mark.parametrize("sampler", ["ball", "gaussian"])
@given(one=margins, other=margins, dim=st.integers(1, 200_000))
def test_a_larger_margin_never_has_a_smaller_radius(sampler, one, other, dim):
    small, large = sorted((one, other))
    first, second = certified_radius(sampler, [small, large], 3.0, dim)
    # Of margins one rounding apart, scipy's inverse of the incomplete beta function may give radii
    # in either order, a few roundings apart.
    assert 0 < first <= second * (1 + 1e-14)


@pytest.mark.parametrize("sampler", ["ball", "gaussian"])
def test_no_margin_no_radius(sampler):
    assert certified_radius(sampler, [-1.0, -1e-9, 0.0], 3.0, 5).tolist() == [0.0] * 3


def test_a_ball_s_radius_stays_below_its_diameter_and_a_gaussian_s_does_not_end():
    assert ball_radius(1.0, 1.0, 1) == 1.0  # intervals that share half
    assert gaussian_radius(1.0, 1.0, 1) == math.inf


def test_other_samplers_have_none():
    with pytest.raises(ConfigurationError, match="ball, gaussian"):
        certified_radius("directions", 0.5, 1.0, 3)


@given(
    st.sampled_from(["gaussian", "ball"]),
    st.floats(1e-3, 3),
    st.integers(1, 5000),
    st.floats(0, 0.99),
)
def test_bars_are_the_inverse_of_radii(sampler, sigma, dim, margin):
    radius = certified_radius(sampler, margin, noise_length(sampler, sigma, dim), dim)
    found = bar(sampler, radius, sigma, dim)
    np.testing.assert_allclose(found, (1 + margin) / 2, rtol=0, atol=1e-12)


def test_bars_of_unknown_laws_are_refused():
    with pytest.raises(ConfigurationError, match="sampler of"):
        bar("sphere", 0.1, 1.0, 3)
