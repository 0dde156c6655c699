"""Smallest budgets: median, its interval, and the accuracy over the budget."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandlimiter.results import NONE, OURS
from bandlimiter.results.budgets import CURVE, smallest_budgets
from tests.results.test_compare_defences import cascade_row


def searched(lengths, wrong=0, defence=OURS):
    """Rows of a search, lengths in units of 1/255 with None for not found, and wrong images."""
    rows = [
        cascade_row(
            i, name="smallest", defence=defence, length=None if length is None else length / 255
        )
        for i, length in enumerate(lengths)
    ]
    return rows + [
        cascade_row(1000 + i, name="smallest", defence=defence, clean=1) for i in range(wrong)
    ]


def found(lengths, wrong=0):
    return smallest_budgets(searched(lengths, wrong))[OURS]


def test_without_a_search_there_is_nothing():
    assert smallest_budgets([cascade_row(0, stage="apgd")]) is None


def test_each_defence_has_its_own():
    budgets = smallest_budgets(searched([1, 2, 3]) + searched([5], defence=NONE))
    assert list(budgets) == [OURS, NONE]
    assert 255 * budgets[OURS]["median"] == pytest.approx(2)
    assert 255 * budgets[NONE]["median"] == pytest.approx(5)


@pytest.mark.parametrize(
    ("lengths", "median"),
    [
        ([3, 1, 2], 2),
        ([4, 1, 3, 2], 2.5),
        ([1, 2, None], 2),
        ([1, None, None], None),
        ([1, None], None),  # between 1 and more than was tried
        ([], None),
    ],
)
def test_the_median_counts_what_was_not_found_as_larger(lengths, median):
    budget = found(lengths, wrong=1)
    assert budget["attacked"] == len(lengths)
    assert budget["found"] == sum(length is not None for length in lengths)
    if median is None:
        assert budget["median"] is None
    else:
        assert 255 * budget["median"] == pytest.approx(median)


@pytest.mark.parametrize("count", [6, 7, 8, 9, 16, 17, 40, 199, 500])
def test_the_median_s_interval_is_the_narrowest_that_covers_95_percent(count):
    """P(X_(k) <= median <= X_(n+1-k)) = 1 - 2 sum_{i<k} C(n, i) / 2^n, in exact fractions."""

    def coverage(k):
        return 1 - 2 * Fraction(sum(math.comb(count, i) for i in range(k)), 2**count)

    low, high = found(range(1, count + 1))["median_interval"]
    k = round(255 * low)  # the lengths are 1 ... n, so an order statistic tells its rank
    assert round(255 * high) == count + 1 - k
    assert coverage(k) >= Fraction(95, 100) > coverage(k + 1)


def test_few_images_have_no_interval():
    """Of five, even the smallest and the largest cover only 1 - 2/32 = 0.9375."""
    assert found([1, 2, 3, 4, 5])["median_interval"] is None
    assert found([], wrong=1)["median_interval"] is None


def test_an_end_that_was_not_found_is_open():
    low, high = found([1, 2, 3, 4, 5, None])["median_interval"]
    assert (255 * low, high) == (pytest.approx(1), None)


LENGTHS = st.lists(st.none() | st.floats(0.01, 128), max_size=20)


@given(LENGTHS, st.integers(0, 5))
def test_the_curve_is_the_share_of_images_right_at_each_budget(lengths, wrong):
    images = len(lengths) + wrong
    if not images:
        return
    curve = found(lengths, wrong)["curve"]
    assert [255 * budget for budget, _ in curve] == pytest.approx(list(CURVE))
    accuracies = [accuracy for _, accuracy in curve]
    assert accuracies == sorted(accuracies, reverse=True)
    # Budget 0 changes nothing, so the clean accuracy stands first.
    assert accuracies[0] == len(lengths) / images
    for (_, accuracy), budget in zip(curve, CURVE, strict=True):
        safe = sum(length is None or length / 255 > budget / 255 for length in lengths)
        assert accuracy == safe / images


def test_a_length_of_exactly_the_budget_breaks():
    curve = dict(zip(CURVE, (accuracy for _, accuracy in found([8])["curve"]), strict=True))
    assert (curve[6], curve[8], curve[12]) == (1, 0, 0)


def test_the_ratio_to_the_plain_model_pairs_images():
    """Each image needs 1.5 times as much, and not the same images were found on both."""
    plain = searched([1, 2, 4, 8, 16, 32, None], defence=NONE)
    ours = searched([1.5, 3, 6, 12, 24, None, 9], defence=OURS)
    budget = smallest_budgets(ours + plain)[OURS]
    assert budget["ratio"] == pytest.approx(1.5)
    assert budget["ratio_images"] == 5  # found on both
    assert budget["ratio_interval"] is None  # fewer than six
    more = smallest_budgets(searched([3] * 8) + searched([1, 1, 1, 1, 2, 2, 2, 2], defence=NONE))
    assert more[OURS]["ratio"] == pytest.approx((3 + 1.5) / 2)
    assert more[OURS]["ratio_interval"] == pytest.approx([1.5, 3])
    assert "ratio" not in more[NONE]
    assert smallest_budgets(ours)[OURS]["ratio"] is None
