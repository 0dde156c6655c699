"""Sequential tests: capitals against integrals and exact expectations, claims against laws."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import betaln
from scipy.stats import binom

from bandlimiter.defence.certificates import highest_bar, log_abstention, log_capital
from bandlimiter.defence.certificates.sequential import Scores, Votes

BARS = [0.5, 0.69, 0.841, 0.977, 0.99865]


@pytest.mark.parametrize("bar", BARS)
@pytest.mark.parametrize(("won", "lost"), [(0, 0), (1, 0), (0, 3), (40, 2), (150, 90)])
def test_capitals_are_mixtures_of_likelihood_ratios(bar, won, lost):
    """By quadrature over the Beta(1/2, 1/2) prior, cut at the bar (u = sin^2 makes it smooth)."""
    middle = math.asin(math.sqrt(bar))

    def ratio(angle):
        u = math.sin(angle) ** 2
        up, down = max(u, 1e-300) / bar, max(1 - u, 1e-300) / (1 - bar)
        return math.exp(won * math.log(up) + lost * math.log(down))

    for found, low, high in (
        (log_capital(won, lost, bar), middle, math.pi / 2),
        (log_abstention(won, lost, bar), 0, middle),
    ):
        mass, _ = quad(ratio, low, high, epsabs=0, epsrel=1e-10, limit=200)
        assert float(found) == pytest.approx(math.log(mass / (high - low)), abs=1e-7)


@pytest.mark.parametrize("bar", BARS)
@pytest.mark.parametrize("below", [0.0, 1e-3, 0.05, 0.4])
@pytest.mark.parametrize("count", [1, 7, 60])
def test_no_capital_grows_under_its_null(bar, below, count):
    """Expectations over the binomial law, exactly: 1 at most, for every p on the null's side."""
    won = np.arange(count + 1)
    p = bar - below
    weights = binom.pmf(won, count, p)
    assert weights @ np.exp(log_capital(won, count - won, bar)) <= 1 + 1e-9
    p = min(bar + below, 1.0)
    weights = binom.pmf(won, count, p)
    assert weights @ np.exp(log_abstention(won, count - won, bar)) <= 1 + 1e-9


def test_a_prior_that_is_not_cut_would_not_do():
    """On all of [0, 1], votes that are never won make capital against p <= 0.9."""
    bar, count = 0.9, 60
    uncut = betaln(0.5, 0.5 + count) - betaln(0.5, 0.5) - count * math.log(1 - bar)
    assert uncut > math.log(1000)
    assert log_capital(0, count, bar) < 0


@given(st.integers(1, 10**6), st.sampled_from([0.1, 1e-3, 1e-9]))
def test_the_highest_bar_is_where_unanimous_votes_just_suffice(samples, alpha):
    bar = highest_bar(samples, alpha)
    if bar > 0:
        assert log_capital(samples, 0, bar * (1 - 1e-6)) >= math.log(1 / alpha) - 1e-6
    assert log_capital(samples, 0, min(bar * (1 + 1e-6) + 1e-12, 1 - 1e-13)) <= math.log(1 / alpha)
    assert bar <= alpha ** (1 / samples)  # no valid bound is above


def votes(tests, rows, won, total, classes=3):
    """Show ``won`` of ``total`` votes for class 0 to some rows, and the others for class 1."""
    shares = torch.zeros(len(rows), total, classes)
    shares[:, :won, 0] = 1
    shares[:, won:, 1] = 1
    tests.observe(np.array(rows), shares, torch.zeros(len(rows), dtype=torch.int64))


def test_claims_are_prefixes_and_giving_up_ends_at_the_first_that_fails():
    bars = np.array([[0.5, 0.7, 0.9]] * 3)
    tests = Votes(bars, 1e-3, 1e-2, 3)
    assert tests.undecided.all()
    votes(tests, [0, 1], 80, 100)
    votes(tests, [2], 20, 100)
    assert tests.certified.tolist() == [[True, False, False]] * 2 + [[False] * 3]
    assert tests.undecided.tolist() == [[False, True, True]] * 2 + [[False] * 3]
    votes(tests, [1], 8000, 10_000)
    assert tests.certified[1].tolist() == [True, True, False]
    assert not tests.undecided[1].any()
    votes(tests, [1], 0, 50_000)  # a claim may be read at any time, and then stays
    assert tests.certified[1].tolist() == [True, True, False]
    np.testing.assert_allclose(tests.means, [0.8, 8080 / 60_100, 0.2])


def test_a_larger_bar_that_was_rejected_by_itself_claims_nothing():
    """Bets on a larger p can win first; without the smaller radius they are no claim."""
    tests = Votes(np.array([[0.5, 0.5 + 1e-9]]), 1e-3, 0, 3)
    tests._held[:, 1] = True
    assert not tests.certified.any()
    assert tests.undecided.all()


def test_never_giving_up_leaves_it_open():
    tests = Votes(np.array([[0.5, 0.7]]), 1e-3, 0, 3)
    votes(tests, [0], 0, 1000)
    assert tests.undecided.all()


def test_votes_as_scores_agree_with_votes():
    """Scores that are all 0 or 1 are votes over two classes: both tests decide alike."""
    bars = np.array([[0.5, 0.7, 0.9]])
    one, other = Votes(bars, 1e-3, 1e-2, 2), Scores(bars, 1e-3, 1e-2, 2)
    for tests in (one, other):
        votes(tests, [0], 800, 1000, classes=2)
    assert one.certified.tolist() == other.certified.tolist() == [[True, True, False]]
    assert one.means == pytest.approx(other.means)


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (0.2, 0.9), (0.79, 1.0)])
def test_bets_on_scores_never_grow_under_the_null(low, high):
    """A law of two gains whose mean is the bar itself: the expectation over all eight-point paths,
    exactly."""
    bar, length = 0.8, 8
    chance = (bar - low) / (high - low)
    total_up = total_down = 0.0
    for path in range(2**length):
        picks = np.array([(path >> place) & 1 for place in range(length)])
        weight = chance ** picks.sum() * (1 - chance) ** (length - picks.sum())
        gains = torch.from_numpy(np.where(picks, high, low))
        shares = torch.stack([gains, 1 - gains], dim=1)[None]
        tests = Scores(np.array([[bar]]), 0.1, 0.1, 2)
        tests._add(np.array([0]), shares, torch.zeros(1, dtype=torch.int64))
        up, down = tests._tests(np.array([0]))
        total_up += weight * math.exp(up.item())
        total_down += weight * math.exp(down.item())
    # The least over other classes is at most the one bet on; the label over itself gains all.
    assert total_up == pytest.approx(1, abs=1e-9)
    assert total_down <= 1 + 1e-9


def test_the_strongest_of_many_rivals_counts():
    """Class 0 leads class 1 clearly and class 2 hardly: not certified until that is sure."""
    shares = torch.tensor([0.5, 0.02, 0.48]).expand(1, 500, 3)
    tests = Scores(np.array([[0.5, 0.6]]), 1e-3, 1e-2, 3)
    tests.observe(np.array([0]), shares, torch.zeros(1, dtype=torch.int64))
    assert not tests.certified[0, 1]
    assert tests.means == pytest.approx(0.51)
