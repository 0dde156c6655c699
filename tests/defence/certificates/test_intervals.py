import math
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, multinomial

from bandlimiter.defence.certificates import betting_bound, clopper_pearson
from bandlimiter.defence.certificates.intervals import stake

D = torch.float64


def test_clopper_pearson_is_scipy_s_one_sided_interval():
    for trials, alpha in ((10, 0.05), (1000, 1e-3), (91, 1e-6)):
        count = np.array([0, 1, trials // 2, trials - 1, trials])
        other = [
            binomtest(int(k), trials, alternative="greater").proportion_ci(1 - alpha).low
            for k in count
        ]
        # scipy inverts the same distribution by another route, to about 1e-11.
        np.testing.assert_allclose(clopper_pearson(count, trials, alpha), other, atol=1e-10)


@pytest.mark.parametrize("alpha", [0.3, 0.05, 1e-3])
def test_clopper_pearson_errs_at_most_alpha_and_nearly_as_often(alpha):
    bounds = clopper_pearson(np.arange(41), 40, alpha)
    errors = [
        binom.pmf(np.arange(41), 40, p)[bounds > p].sum() for p in np.linspace(0.01, 0.99, 99)
    ]
    assert max(errors) <= alpha * (1 + 1e-9)  # where a bound is p itself, to rounding
    assert max(errors) > alpha / 2  # the test can see an error


THREE_POINTS = [law for law in product(np.linspace(0, 1, 6), repeat=3) if math.isclose(sum(law), 1)]


@pytest.mark.parametrize("middle", [0.5, 0.9])
@pytest.mark.parametrize("staked", [0.2, 1.0, 50.0])
@pytest.mark.parametrize("alpha", [0.5, 0.2, 0.05])
def test_betting_errs_at_most_alpha_exactly(alpha, staked, middle):
    """Not a simulation: all outcomes of 12 draws from laws on three points, with their weights."""
    draws, points = 12, np.array([0.0, middle, 1.0])
    counts = np.array([(a, b, draws - a - b) for a in range(13) for b in range(13 - a)])
    values = torch.tensor(np.stack([np.repeat(points, count) for count in counts]), dtype=D)
    bounds = betting_bound(values, torch.full((len(values),), staked, dtype=D), alpha).numpy()
    errors = [
        multinomial.pmf(counts, draws, law)[bounds > points @ np.array(law)].sum()
        for law in THREE_POINTS
    ]
    assert max(errors) <= alpha
    if alpha == 0.5 and staked == 1.0:
        assert max(errors) > alpha / 10  # the bound is put to the test


def capital(values, staked, mean):
    """The definition, one factor after another."""
    share = min(staked, 0.99 / mean)
    bold, mild = 0.5, 0.5
    for value in values:
        bold *= 1 + share * (value - mean)
        mild *= 1 + share / 2 * (value - mean)
    return bold + mild


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.floats(0, 1), min_size=1, max_size=40),
    staked=st.floats(0.01, 100),
    alpha=st.sampled_from([0.5, 0.1, 0.01]),
)
def test_the_bound_is_where_the_capital_written_out_falls_below_its_bar(values, staked, alpha):
    bound = float(
        betting_bound(torch.tensor([values], dtype=D), torch.tensor([staked], dtype=D), alpha)
    )
    if bound > 0:
        assert capital(values, staked, bound) >= (1 - 1e-9) / alpha  # rounding of 40 factors
    assert capital(values, staked, bound + 2e-9) < (1 + 1e-9) / alpha  # 30 halvings of [0, 1]


@settings(max_examples=60, deadline=None)
@given(values=st.lists(st.floats(0, 0.9), min_size=2, max_size=30), staked=st.floats(0.1, 10))
def test_larger_values_never_lower_the_bound(values, staked):
    lower = torch.tensor(values, dtype=D)
    higher = lower.clone()
    higher[0] += 0.1
    bounds = betting_bound(torch.stack([lower, higher]), torch.tensor([staked] * 2, dtype=D), 0.3)
    assert bounds[1] >= bounds[0] - 1e-12


def empirical_bernstein(values, alpha):
    """Maurer and Pontil 2009, theorem 4."""
    log, count = math.log(2 / alpha), values.shape[-1]
    deviation = (2 * values.var(dim=-1) * log / count).sqrt()
    return values.mean(dim=-1) - deviation - 7 * log / (3 * (count - 1))


@pytest.mark.parametrize("samples", [200, 1000])
@pytest.mark.parametrize("law", ["near one", "uniform", "rare zeros", "U-shaped"])
def test_betting_is_tighter_than_empirical_bernstein(law, samples):
    """Why the one is used and not the other."""
    rng = torch.Generator().manual_seed(0)
    u = torch.rand(50, samples + 100, generator=rng, dtype=D)
    values = {
        "near one": 1 - u / 50,
        "uniform": u,
        "rare zeros": (u > 0.01).double(),
        "U-shaped": u.pow(5),
    }[law]
    pilot, rest = values[:, :100], values[:, 100:]
    betting = betting_bound(rest, stake(pilot, samples, 1e-3), 1e-3)
    assert (betting - empirical_bernstein(rest, 1e-3)).mean() > 0.002
