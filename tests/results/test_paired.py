"""The interval of a paired difference, against published values, its definition, and coverage."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import gammaln, xlogy

from bandlimiter.errors import InputError
from bandlimiter.results import paired_difference, rate

Z2 = 1.959963984540054**2


@pytest.mark.parametrize(
    ("counts", "low", "high", "digits"),
    [
        # Fagerland, Lydersen and Laake, Statistics in Medicine 33 (2014): airway
        # hyper-responsiveness of 21 children, (1, 1, 7, 12).
        ((1, 7, 21), -0.517, -0.026, 3),
        # scoreci.mp of R's PropCIs, which takes the two counts the other way round.
        ((7, 0, 14), 0.177034, 0.732008, 6),
    ],
)
def test_published_values(counts, low, high, digits):
    found = paired_difference(*counts)
    # Printed to so many digits.
    assert found.low == pytest.approx(low, abs=0.51 * 10**-digits)
    assert found.high == pytest.approx(high, abs=0.51 * 10**-digits)


@given(st.integers(1, 10**6))
def test_no_difference_seen(n):
    """The score test's variance at d is then n d (1 - d), and the limit is in closed form."""
    value, low, high = paired_difference(0, 0, n)
    assert value == 0
    assert high == pytest.approx(Z2 / (n + Z2), rel=1e-12)  # 60 halvings
    assert low == -high


@given(st.integers(1, 10**5))
def test_all_differ_alike(n):
    """At the limit (1 - d)^2 n = z^2 (1 - d) (1 + d), as the likeliest q is (1 - d) / 2."""
    value, low, high = paired_difference(n, 0, n)
    assert (value, high) == (1, 1)
    assert low == pytest.approx((n - Z2) / (n + Z2), abs=1e-9)


COUNTS = st.integers(1, 60).flatmap(
    lambda n: st.integers(0, n).flatmap(lambda b: st.integers(0, n - b).map(lambda c: (b, c, n)))
)


@given(COUNTS)
def test_limits_are_where_the_score_test_is_at_its_level(counts):
    """With the maximum of the likelihood found by search instead of Tango's quadratic."""
    b, c, n = counts
    value, low, high = paired_difference(b, c, n)
    assert -1 <= low <= value <= high <= 1
    for d in (low, high):
        if abs(d) == 1:
            continue

        def unlikely(q, d=d):
            p = q + d
            return -(xlogy(b, p) + xlogy(c, q) + xlogy(n - b - c, 1 - p - q))

        least, most = max(0.0, -d), (1 - d) / 2
        found = minimize_scalar(
            unlikely, bounds=(least, most), method="bounded", options={"xatol": 1e-12}
        )
        # A maximum on the edge is one that a bounded search comes near only.
        q = min((least, found.x, most), key=unlikely)
        variance = n * (2 * q + d - d * d)
        # The search's own accuracy, sqrt of the likelihood's rounding, is about 1e-7 in q.
        assert (b - c - n * d) ** 2 == pytest.approx(Z2 * variance, rel=1e-4, abs=1e-4)


@given(COUNTS)
def test_exchanging_the_two_turns_the_sign(counts):
    b, c, n = counts
    one, other = paired_difference(b, c, n), paired_difference(c, b, n)
    assert one == pytest.approx((-other.value, -other.high, -other.low))


def test_many_images_give_the_normal_interval():
    b, c, n = 20_000, 10_000, 300_000
    value, low, high = paired_difference(b, c, n)
    half = math.sqrt(Z2 * (b + c - (b - c) ** 2 / n)) / n
    # The two differ by terms of order z^2 / n, about 1e-5; half is 1e-3.
    assert high - value == pytest.approx(half, rel=0.02)
    assert value - low == pytest.approx(half, rel=0.02)


@pytest.mark.parametrize(("n", "least"), [(5, 0.88), (10, 0.90), (20, 0.91), (40, 0.92)])
def test_coverage_by_enumeration(n, least):
    """Over all outcomes of n images, for a grid of pairs of classifiers with few and many."""
    b, c = np.array([(b, c) for b in range(n + 1) for c in range(n + 1 - b)]).T
    neither = n - b - c
    limits = np.array([paired_difference(int(i), int(j), n)[1:] for i, j in zip(b, c, strict=True)])
    ways = gammaln(n + 1) - gammaln(b + 1) - gammaln(c + 1) - gammaln(neither + 1)
    shares = np.concatenate([[0], np.geomspace(1e-4, 0.02, 8), np.linspace(0.025, 1, 40)])
    coverage = []
    for p in shares:
        for q in shares[shares <= 1 - p + 1e-12]:
            left = max(0.0, 1 - p - q)
            likely = np.exp(ways + xlogy(b, p) + xlogy(c, q) + xlogy(neither, left))
            assert likely.sum() == pytest.approx(1)
            # A limit that is exactly the difference counts as covering it.
            inside = (limits[:, 0] <= p - q + 1e-12) & (p - q <= limits[:, 1] + 1e-12)
            coverage.append(likely[inside].sum())
    assert min(coverage) > least
    assert np.mean(coverage) > 0.95
    assert np.mean(coverage) < 0.98  # nor wide beyond need


def test_nothing_counted():
    assert paired_difference(0, 0, 0) == (None, None, None)
    assert paired_difference(0, 0, 0).interval is None
    assert rate(0, 0).interval is None


@pytest.mark.parametrize("counts", [(-1, 0, 5), (0, -1, 5), (3, 3, 5), (1, 0, 0)])
def test_impossible_counts_are_refused(counts):
    with pytest.raises(InputError, match="expected counts"):
        paired_difference(*counts)
