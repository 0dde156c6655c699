"""No attack grades itself: the base clips, predicts again and measures."""

import pytest
import torch
from torch import nn

from bandlimiter.attacks import Attack, AttackedModel
from bandlimiter.attacks.base import grade
from bandlimiter.attacks.losses import CROSS_ENTROPY, MARGIN
from bandlimiter.errors import ConfigurationError, InputError


class Fixed(Attack):
    """Returns what it is told to."""

    name = "fixed answer"
    protocol = "fixed"

    def __init__(self, images):
        self.images = images

    def run(self, inputs):
        return self.images


class FirstPixel(nn.Module):
    """Class 1 where the first pixel is above one half."""

    def forward(self, x):
        first = x.flatten(1)[:, :1]
        return torch.cat([torch.full_like(first, 0.5), first], dim=1)


X = torch.tensor([[0.4, 0.2], [0.4, 0.2], [0.4, 0.2], [0.4, 0.2], [0.4, 0.2]])
Y = torch.zeros(5, dtype=torch.int64)


def test_success_and_budget_are_measured_not_claimed():
    claimed = torch.tensor(
        [[0.6, 0.2], [0.45, 0.2], [0.9, 0.2], [7.0, 0.2], [torch.nan, 0.2]],
    )
    result = Fixed(claimed)(AttackedModel(FirstPixel()), X, Y, epsilon=0.25)
    assert result.found.tolist() == [True, False, True, True, False]
    assert result.within.tolist() == [True, False, False, False, False]
    assert result.labels.tolist() == [1, 0, 1, 1, 0]
    # The third lies 0.5 away, the fourth is clipped to 1 first; what failed is the original.
    torch.testing.assert_close(
        result.linf, torch.tensor([0.2, 0, 0.5, 0.6, 0], dtype=torch.float64), atol=1e-6, rtol=0
    )
    assert torch.equal(result.images[1], X[1])
    assert torch.equal(result.images[4], X[4])
    assert float(result.images.max()) <= 1


def test_a_perturbation_of_exactly_the_budget_is_within():
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(1000, 2, generator=generator) * 0.4
    epsilon = 8 / 255
    moved = x + epsilon
    target = AttackedModel(_AlwaysOne())
    zeros = torch.zeros(1000, dtype=torch.int64)
    assert grade(target, x, zeros, moved, epsilon).within.all()
    assert not grade(target, x, zeros, x + epsilon * 1.0001, epsilon).within.any()


class _AlwaysOne(nn.Module):
    def forward(self, x):
        return torch.tensor([[0.0, 1.0]]).repeat(len(x), 1)


def test_nan_in_one_pixel_and_the_unchanged_image_count_as_not_found():
    target = AttackedModel(_AlwaysOne())
    zeros = torch.zeros(2, dtype=torch.int64)
    x = torch.full((2, 2), 0.4)
    candidates = torch.stack([torch.tensor([0.6, torch.nan]), x[1]])
    result = grade(target, x, zeros, candidates, 0.5)
    assert not result.found.any()
    assert torch.equal(result.images, x)


@pytest.mark.parametrize("loss", [CROSS_ENTROPY, MARGIN])
def test_a_model_without_a_gradient_is_said_to_be_one(loss):
    class Frozen(FirstPixel):
        @torch.no_grad()
        def forward(self, x):
            return super().forward(x)

    with pytest.raises(InputError, match="with a gradient"):
        AttackedModel(Frozen()).ascend(X, Y, loss)


def test_bad_images_and_budgets_are_refused():
    attack, target = Fixed(X), AttackedModel(FirstPixel())
    with pytest.raises(InputError, match="pixels in"):
        attack(target, X * 3, Y, epsilon=0.1)
    with pytest.raises(ConfigurationError, match="epsilon"):
        attack(target, X, Y, epsilon=0)


def test_queries_and_gradients_are_counted():
    target = AttackedModel(FirstPixel())
    target.predict(X)
    target.loss_gradient(X[:3], Y[:3])
    assert (target.queries, target.gradients) == (5, 3)


def test_evaluations_are_counted_for_each_image_by_name():
    target = AttackedModel(FirstPixel())
    names = ["a", "b", "c", "d", "e"]
    target.logits(X, names)
    target.ascend(X[1:3], Y[1:3], names=names[1:3])
    target.repeated(X[2:], names[2:])
    queries, gradients, _ = target.spent(names)
    assert queries.tolist() == [1, 1, 2, 2, 2]
    assert gradients.tolist() == [0, 1, 1, 0, 0]
    result = Fixed(X + 0.2)(target, X, Y, epsilon=0.25, ids=names)
    assert result.queries.tolist() == [1] * 5  # the verdict, not what was asked before
    assert result.gradients.tolist() == [0] * 5
    with pytest.raises(InputError, match="one per image"):
        target.logits(X, names[:2])


def test_the_budget_is_measured_in_the_attack_s_norm():
    x = torch.full((2, 4), 0.4)
    zeros = torch.zeros(2, dtype=torch.int64)
    moved = x + torch.tensor([[0.1] * 4, [0.2, 0, 0, 0]])  # both 0.2 long
    target = AttackedModel(_AlwaysOne())
    assert grade(target, x, zeros, moved, 0.1, norm="linf").within.tolist() == [True, False]
    assert grade(target, x, zeros, moved, 0.2, norm="l2").within.tolist() == [True, True]
    assert not grade(target, x, zeros, moved, 0.199, norm="l2").within.any()
    torch.testing.assert_close(
        grade(target, x, zeros, moved, 1).l2, torch.full((2,), 0.2, dtype=torch.float64)
    )
