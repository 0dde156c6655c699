from fractions import Fraction
from itertools import permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bandlimiter.defence.stopping import AnytimeRule, ExactRule, build_rule, earliest
from bandlimiter.defence.stopping.rules import BETS, WEIGHTS
from bandlimiter.errors import ConfigurationError
from tests.defence.stopping import written_out

CPU = torch.device("cpu")


def watch(rule, scores):
    """Point and leader at the decision of each input, scores [U, N, C]."""
    points, leaders = [0] * len(scores), [0] * len(scores)
    for t in range(scores.shape[1]):
        rule.observe(scores[:, t])
        for row, decided in enumerate(rule.decided().tolist()):
            if decided and not points[row]:
                points[row], leaders[row] = t + 1, int(rule.leaders()[row])
    return points, leaders


# Sixteenths are exact in float32 and float64, so that the rule and the fractions see the same.
sixteenths = st.lists(st.integers(0, 16), min_size=3, max_size=3)


@settings(max_examples=150, deadline=None)
@given(
    population=st.lists(sixteenths, min_size=2, max_size=25),
    alpha=st.sampled_from([Fraction(1, 2), Fraction(1, 10), Fraction(1, 100)]),
)
def test_stops_where_the_rule_written_out_in_fractions_stops(population, alpha):
    """Also where rounding matters: sixteenths tie often, and a lead often equals what is left."""
    exact = [[Fraction(p, 16) for p in point] for point in population]
    scores = torch.tensor(population, dtype=torch.float32)[None] / 16
    n = len(population)
    for name, rule in (
        ("exact", ExactRule(n, 1, 3, CPU)),
        ("anytime", AnytimeRule(n, 1, 3, CPU, alpha=float(alpha))),
    ):
        (point,), (leader,) = watch(rule, scores)
        assert (point, leader) == written_out.stop(exact, name, alpha)


def test_the_rule_stakes_what_the_written_out_one_stakes():
    assert list(BETS) == [float(c) for c in written_out.BETS]
    assert list(WEIGHTS) == [float(w) for w in written_out.WEIGHTS]
    assert sum(written_out.WEIGHTS) == 1


POPULATIONS = {
    "a near tie": [[1, 0], [1, 0], [1, 0], [0, 1], [0, 1], [0, 1], [0.5, 0.4375]],
    "a tie": [[1, 0], [1, 0], [1, 0], [0, 1], [0, 1], [0, 1], [0, 0]],
    "three runners-up": [
        [1, 0, 0],
        [1, 0, 0],
        [0, 1, 0],
        [0, 1, 0],
        [0, 0, 1],
        [0, 0, 1],
        [0.5, 0.25, 0.25],
    ],
    "low variance": [[0.5625, 0.4375]] * 4 + [[0.4375, 0.5625]] * 3,
    "one loud point": [[0, 1]] + [[0.4375, 0.3125]] * 6,
}


@pytest.mark.parametrize("alpha", [0.5, 0.3, 0.1])
@pytest.mark.parametrize("name", POPULATIONS)
def test_over_all_orders_the_wrong_class_is_announced_at_most_alpha_of_the_time(name, alpha):
    """Not a simulation: all 7! orders, so that the probability is exact. Of several argmaxes,
    each is given up in favour of another class that rarely before the last point."""
    scores = torch.tensor(POPULATIONS[name])
    orders = torch.tensor(list(permutations(range(7))))
    rule = AnytimeRule(7, len(orders), scores.shape[1], CPU, alpha=alpha)
    points, leaders = watch(rule, scores[orders])
    sums = scores.double().sum(dim=0)
    for argmax in (sums == sums.max()).nonzero().flatten().tolist():
        others = [leader != argmax and t < 7 for t, leader in zip(points, leaders, strict=True)]
        assert sum(others) <= alpha * len(orders)
        if name in ("a near tie", "a tie") and alpha == 0.5:
            assert sum(others) > 0  # the bound is put to the test


@pytest.mark.parametrize("name", POPULATIONS)
def test_over_all_orders_the_capital_against_an_argmax_does_not_grow(name):
    """The theorem's premise, exactly: its mean over the orders is at most 1 at every point."""
    population = [[Fraction(p) for p in point] for point in POPULATIONS[name][1:6]]
    sums = [sum(column) for column in zip(*population, strict=True)]
    best = [j for j, total in enumerate(sums) if total == max(sums)]
    orders = list(permutations(population))
    after = [[0] * len(best) for _ in population]
    for order in orders:
        for t, (_, capital) in enumerate(written_out.capitals(list(order), len(order))):
            for place, j in enumerate(best):
                after[t][place] += capital[j]
    for row in after:
        for total in row:
            assert total <= len(orders)


def test_the_exact_rule_stops_as_soon_as_nothing_can_change_the_answer():
    """One point sooner, some completion names another class; afterwards, none does."""
    rng = torch.Generator().manual_seed(3)
    for _ in range(50):
        scores = torch.rand(1, 9, 2, generator=rng).softmax(dim=2).round(decimals=2)
        (point,), (leader,) = watch(ExactRule(9, 1, 2, CPU), scores)
        sums = scores[0, : point - 1].double().sum(dim=0)
        other = 1 - leader
        if sums[leader] >= sums[other]:
            assert sums[other] + 9 - (point - 1) >= sums[leader]
        sums = scores[0, :point].double().sum(dim=0)
        assert point == 9 or sums[other] + 9 - point < sums[leader]


def test_scores_a_little_below_zero_leave_no_capital_negative():
    """A capital below zero would not be bounded by Ville's inequality."""
    rule = AnytimeRule(3, 1, 2, CPU, alpha=0.1)
    for point in ([1.0, 0.0], [0.0, 3e-6], [0.0, 1 + 1.2e-7]):
        rule.observe(torch.tensor([point], dtype=torch.float64))
        assert rule._capital.min() > 0


@pytest.mark.parametrize("stop", ["exact", "anytime"])
def test_scores_a_little_above_one_decide_nothing_too_early(stop):
    """A softmax in float32 sums to 1 + 1e-7; a lead that equals what is left is no decision."""
    over = 1 + 2e-7
    rule = build_rule(stop, 1e-12, 4, 1, 2, CPU)
    for _ in range(2):
        rule.observe(torch.tensor([[over, 0.0]]))
    assert not rule.decided().any()  # lead 2 + 4e-7, left 2: the rest can make it a tie
    rule.observe(torch.tensor([[over, 0.0]]))
    assert rule.decided().all()


def test_keep_goes_on_with_the_rows_chosen():
    rng = torch.Generator().manual_seed(0)
    scores = torch.rand(4, 12, 3, generator=rng)
    whole = AnytimeRule(12, 4, 3, CPU, alpha=0.2)
    part = AnytimeRule(12, 4, 3, CPU, alpha=0.2)
    rows = torch.tensor([1, 3])
    for t in range(12):
        if t == 5:
            part.keep(rows)
        whole.observe(scores[:, t])
        part.observe(scores[:, t] if t < 5 else scores[rows, t])
    assert torch.equal(part.rejected(), whole.rejected()[rows])
    assert torch.equal(part.sums, whole.sums[rows])


@pytest.mark.parametrize(
    ("alpha", "later"), [(0.1, 0), (0.05, 0), (1e-2, 0), (1e-3, 0), (1e-4, 1), (1e-6, 1)]
)
def test_the_earliest_decision_is_at_most_one_point_after_the_earliest_possible(alpha, later):
    """Staking everything from the second point on reaches 1 / alpha no sooner: each bet
    multiplies by at most 1 / mu_t, which is 2 at first and grows only as points run out."""
    product, least = 1.0, 1
    for t in range(1, 91):
        if product >= 1 / alpha:
            break
        product *= (91 - t) / (91 / 2 - t)
        least = t + 1
    assert earliest("anytime", alpha, 91) - least == later


@pytest.mark.parametrize("alpha", [0.0, 1.0, -1.0, float("nan")])
def test_a_level_outside_0_1_is_refused(alpha):
    with pytest.raises(ConfigurationError, match="alpha in"):
        build_rule("anytime", alpha, 7, 1, 2, CPU)


def test_an_unknown_rule_is_refused():
    with pytest.raises(ConfigurationError, match="never, exact or anytime"):
        build_rule("sometimes", 0.1, 7, 1, 2, CPU)
