"""Losses that attacks raise, against their definitions written out and where others go flat."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from bandlimiter.attacks.goals import Goal
from bandlimiter.attacks.losses import (
    CROSS_ENTROPY,
    DLR,
    LOSSES,
    cross_entropy,
    difference_of_logits_ratio,
    margin,
)


def random_logits(seed, classes=6, count=20):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(count, classes, generator=generator, dtype=torch.float64)
    return logits, torch.randint(classes, (count,), generator=generator)


def written_out(row, label):
    """DLR of one image, from equation 6 of Croce and Hein in plain Python."""
    ordered = sorted(row, reverse=True)
    other = max(z for c, z in enumerate(row) if c != label)
    return -(row[label] - other) / (ordered[0] - ordered[2])


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6), shift=st.floats(-50, 50), scale=st.floats(0.01, 100))
def test_dlr_is_equation_6_and_blind_to_shift_and_scale(seed, shift, scale):
    logits, labels = random_logits(seed)
    found = difference_of_logits_ratio(logits, labels)
    expected = [written_out(*pair) for pair in zip(logits.tolist(), labels.tolist(), strict=True)]
    # 1e-12 under the fraction, and differences of logits that may be 1e-3 of them.
    torch.testing.assert_close(
        found, torch.tensor(expected, dtype=torch.float64), rtol=1e-8, atol=0
    )
    moved = difference_of_logits_ratio(scale * logits + shift, labels)
    torch.testing.assert_close(moved, found, rtol=1e-6, atol=1e-6)


def test_dlr_shows_the_way_where_cross_entropy_is_flat():
    """Logits 300 apart: in float32 the label's probability is 1 and its gradient 0."""
    logits = torch.tensor([[300.0, 0.0, -50.0, -100.0]])
    label = torch.tensor([0])

    def gradient(loss):
        z = logits.clone().requires_grad_()
        return torch.autograd.grad(loss(z, label).sum(), z)[0]

    assert torch.equal(gradient(cross_entropy), torch.zeros(1, 4))
    # z_0 is the largest, z_1 the runner-up, z_2 the third: -(z_0 - z_1) / (z_0 - z_2).
    expected = torch.tensor([[-1 / 350 + 300 / 350**2, 1 / 350, -300 / 350**2, 0]])
    torch.testing.assert_close(gradient(difference_of_logits_ratio), expected)


def test_dlr_of_two_classes_is_the_margin():
    logits, labels = random_logits(0, classes=2)
    found = difference_of_logits_ratio(logits, labels)
    rows = torch.arange(len(labels))
    assert torch.equal(found, logits[rows, 1 - labels] - logits[rows, labels])


def test_equal_logits_give_numbers():
    label = torch.tensor([2])
    for loss in LOSSES.values():
        for goal in (Goal(label), Goal(label, torch.tensor([4]))):
            z = torch.zeros(1, 5, requires_grad=True)
            value = goal.loss(loss, z)
            assert torch.isfinite(value).all()
            assert torch.isfinite(torch.autograd.grad(value.sum(), z)[0]).all()


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6), classes=st.integers(4, 9))
def test_targeted_dlr_is_equation_7(seed, classes):
    logits, labels = random_logits(seed, classes)
    wanted = (labels + 1 + seed % (classes - 1)) % classes
    expected = []
    for row, label, to in zip(logits.tolist(), labels.tolist(), wanted.tolist(), strict=True):
        first, _, third, fourth = sorted(row, reverse=True)[:4]
        expected.append(-(row[label] - row[to]) / (first - (third + fourth) / 2))
    found = Goal(labels, wanted).loss(DLR, logits)
    # As above: 1e-12 under the fraction.
    torch.testing.assert_close(
        found, torch.tensor(expected, dtype=torch.float64), rtol=1e-8, atol=0
    )


@pytest.mark.parametrize("classes", [2, 3])
def test_targeted_dlr_of_few_classes_is_the_targeted_margin(classes):
    logits, labels = random_logits(0, classes=classes)
    goal = Goal(labels, (labels + 1) % classes)
    assert torch.equal(goal.loss(DLR, logits), goal.margin(logits))


@pytest.mark.parametrize("classes", [2, 3, 6])
@pytest.mark.parametrize("seed", range(5))
def test_a_targeted_margin_is_above_zero_exactly_at_the_target(classes, seed):
    logits, labels = random_logits(seed, classes)
    goal = Goal(labels, (labels + 1) % classes)
    reached = goal.reached(logits.argmax(dim=1))
    assert torch.equal(goal.margin(logits) > 0, reached)
    assert torch.equal(reached, logits.argmax(dim=1) == (labels + 1) % classes)
    expected = F.log_softmax(logits, dim=1)[torch.arange(len(labels)), (labels + 1) % classes]
    torch.testing.assert_close(goal.loss(CROSS_ENTROPY, logits), expected)


@pytest.mark.parametrize("loss", [margin, difference_of_logits_ratio])
@pytest.mark.parametrize("seed", range(5))
def test_above_zero_exactly_where_the_label_is_beaten(loss, seed):
    logits, labels = random_logits(seed)
    assert torch.equal(loss(logits, labels) > 0, logits.argmax(dim=1) != labels)
