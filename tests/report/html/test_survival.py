"""Curves over the budget against the summary of rows that were judged at that budget."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandlimiter.report.html.figures.survival import (
    adaptive_survival,
    budgets_of,
    defended_survival,
    plain_survival,
    share,
)
from bandlimiter.results import summarise
from bandlimiter.results.budgets import smallest_budgets
from tests.results.test_compare_defences import cascade_row
from tests.results.test_results import row

LENGTHS = st.one_of(st.none(), st.floats(0.01, 20).map(lambda length: length / 255))
IMAGES = st.lists(
    st.tuples(LENGTHS, st.sampled_from([3, 5]), st.sampled_from([3, 1])), min_size=1, max_size=12
)


@given(IMAGES, st.floats(0.02, 19.9))
def test_a_curve_is_the_accuracy_at_that_budget(images, budget):
    rows = [
        row(i, found=length, after=None if length is None else after, defended=clean)
        for i, (length, after, clean) in enumerate(images)
    ]
    at = [
        each.model_copy(update={"within_budget": each.found and 255 * each.linf <= budget})
        for each in rows
    ]
    (result,) = summarise(at, {})["results"]
    images_right = result["defended_attacked_accuracy"] * len(rows)
    assert defended_survival(rows).at(budget) == pytest.approx(images_right)
    plain_right = result["attacked_accuracy"] * len(rows)
    assert plain_survival(rows).at(budget) == pytest.approx(plain_right)


@given(st.lists(st.one_of(st.none(), st.floats(0.01, 60)), min_size=1, max_size=12))
def test_the_curve_of_smallest_budgets_is_the_summary_s(lengths):
    rows = [
        cascade_row(i, name="smallest", length=None if length is None else length / 255)
        for i, length in enumerate(lengths)
    ]
    (found,) = smallest_budgets(rows).values()
    survival = adaptive_survival(rows)
    # Away from the lengths themselves, where 255 * (x / 255) rounds to either side.
    for budget, accuracy in found["curve"]:
        if all(length is None or abs(length - 255 * budget) > 1e-9 for length in lengths):
            assert survival.at(255 * budget) / len(rows) == pytest.approx(accuracy)


def test_budgets_reach_from_0_to_where_images_are_lost_and_are_few():
    lengths = np.random.default_rng(0).uniform(0.1, 12, 5000) / 255
    rows = [row(i, found=float(length), after=5) for i, length in enumerate(lengths)]
    survival = plain_survival(rows)
    budgets = budgets_of([survival], 8.0)
    assert budgets[0] == 0
    assert 8.0 in budgets
    assert 12 < budgets[-1] < 16
    assert len(budgets) < 70
    assert survival.at(budgets[0]) == 5000
    assert survival.at(budgets[-1]) == 0


def test_shares_have_wilson_s_interval():
    # By Wilson's formula with z = 1.96 for 81 of 100, as in the doctest of results.rate.
    assert share(81, 100) == pytest.approx((0.81, 0.722, 0.875), abs=5e-4)
    assert share(0, 0)[1:] == (0.0, 1.0)
