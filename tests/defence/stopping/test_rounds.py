import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bandlimiter.defence.stopping import Spending, answer_in_rounds, draw_orders
from bandlimiter.errors import ConfigurationError


class Table:
    """Scores [n, N, C] that were computed before; remembers what was asked for."""

    def __init__(self, scores):
        self.scores, self.asked = scores, []

    def __call__(self, rows, start, stop):
        self.asked.append((rows.tolist(), start, stop))
        return self.scores[rows, start:stop]


def table(n, points, classes, seed=0, sharpness=3.0):
    rng = torch.Generator().manual_seed(seed)
    centre = torch.randn(n, 1, classes, generator=rng)
    noise = torch.randn(n, points, classes, generator=rng)
    return Table((sharpness * centre + noise).softmax(dim=2))


def answer(scores, spending, full):
    return answer_in_rounds(scores, spending, torch.arange(len(scores.scores)), full)


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 20),
    points=st.integers(1, 40),
    full=st.integers(1, 200),
    stop=st.sampled_from(["exact", "anytime"]),
    seed=st.integers(0, 1000),
)
def test_labels_and_means_do_not_depend_on_the_rounds(n, points, full, stop, seed):
    scores = table(n, points, 4, seed, sharpness=0.5)
    spending = Spending(stop, 0.1, points)
    together = answer(scores, spending, full)
    for row in range(n):
        alone = answer(Table(scores.scores[row : row + 1]), spending, full=1)
        assert torch.equal(alone.labels[0], together.labels[row])
        # The same numbers in the same order.
        assert torch.equal(alone.means[0], together.means[row])
        assert together.samples[row] >= alone.samples[0]


@pytest.mark.parametrize("stop", ["exact", "anytime"])
def test_each_point_is_evaluated_at_most_once_and_counted(stop):
    scores = table(30, 31, 3, sharpness=0.5)
    answers = answer(scores, Spending(stop, 0.1, 31), full=16)
    spent = torch.zeros(30, dtype=torch.int64)
    for rows, start, end in scores.asked:
        for row in rows:
            assert spent[row] == start  # the next points, none twice
            spent[row] = end
    assert torch.equal(spent, answers.samples)
    assert answers.decided.all()


def test_few_undecided_inputs_get_more_points_a_round():
    """Passes stay full, but no round adds more than half of what an input has had."""
    scores = table(200, 91, 3, sharpness=0.5)
    answer(scores, Spending("anytime", 1e-3, 91), full=64)
    for rows, start, end in scores.asked[1:]:
        each = end - start
        assert each == 1 or (each * len(rows) <= 64 and each <= start / 2) or end == 91
    assert max(end - start for _, start, end in scores.asked[1:]) > 1


@pytest.mark.parametrize("budget", [1, 5, 12, 30])
def test_a_budget_is_kept_and_said(budget):
    scores = table(40, 31, 3, sharpness=0.3)
    answers = answer(scores, Spending("anytime", 0.05, 31, budget), full=16)
    assert answers.samples.max() == budget
    whole = answer(scores, Spending("anytime", 0.05, 31), full=1)
    assert torch.equal(answers.decided, whole.samples <= budget)
    assert not answers.decided.all()
    open_ = ~answers.decided
    means = scores.scores[open_, :budget].double().mean(dim=1)
    assert answers.means.dtype == torch.float32  # as the scores are
    torch.testing.assert_close(answers.means[open_], means.float())
    assert torch.equal(answers.labels[open_], means.argmax(dim=1))


@pytest.mark.parametrize("budget", [0, -1, 32, 4.5, True])
def test_a_budget_out_of_range_is_refused(budget):
    with pytest.raises(ConfigurationError, match="budget of 1 to 31"):
        Spending("exact", 0.1, 31, budget)


def test_orders_are_named_and_uniform():
    names = [("input", key) for key in range(2000)]
    orders = draw_orders(5, seed=1, names=names)
    assert torch.equal(orders[[7]], draw_orders(5, seed=1, names=[("input", 7)]))
    assert not torch.equal(orders, draw_orders(5, seed=2, names=names))
    # Each point comes first in a fifth of the orders: 400, give or take five deviations of 18.
    assert (orders[:, 0].bincount(minlength=5) - 400).abs().max() < 90
