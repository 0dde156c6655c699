"""Each warning comes for a model made to deserve it, and for no honest one."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bandlimiter import PostAverage, evaluate
from bandlimiter.attacks import Randomness, Target
from bandlimiter.data import ArrayImages
from bandlimiter.evaluation import Adaptive
from bandlimiter.evaluation.checks import (
    answers_differ,
    check_answers,
    check_gradients,
    check_large_budget,
    check_square,
    has_gradient,
)
from bandlimiter.evaluation.defendant import Defendant
from bandlimiter.results import OURS
from tests.results.test_contenders import cascade_row

EIGHT = 8 / 255


@pytest.fixture(scope="module")
def right(sample, photos):
    """Eight images that the packaged model has right, and so have most defences around it."""
    x = photos.images(0, 12)
    with torch.no_grad():
        index = (sample.module(x).argmax(dim=1) == photos.labels[:12]).nonzero().flatten()[:8]
    return x[index], photos.labels[index], [f"image {i}" for i in index.tolist()]


# --- models that deserve a warning -------------------------------------------------------


class Noisy(nn.Module):
    """Adds noise to the logits, other noise at each call."""

    def __init__(self, model, size=1.0):
        super().__init__()
        self.model, self.size = model, size

    def forward(self, x):
        logits = self.model(x)
        return logits + self.size * torch.randn_like(logits)


class WithoutGradient(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    @torch.no_grad()
    def forward(self, x):
        return self.model(x)


class Rounded(nn.Module):
    """Sees eight grey levels; rounding has derivative zero."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model((7 * x).round() / 7)


class RoundedLogits(Rounded):
    def forward(self, x):
        return self.model(x).round()


class _Backwards(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, slope):
        return -slope


class _Scrambled(_Backwards):
    @staticmethod
    def backward(ctx, slope):
        order = torch.randperm(slope[0].numel(), generator=torch.Generator().manual_seed(0))
        return slope.flatten(1)[:, order].view_as(slope)


class Misleading(nn.Module):
    """Answers as the model does, with a gradient that points elsewhere."""

    def __init__(self, model, gradient=_Backwards):
        super().__init__()
        self.model, self.gradient = model, gradient

    def forward(self, x):
        return self.model(self.gradient.apply(x))


class Rippled(nn.Module):
    """Adds waves to the logits, too small to change a label and steep enough to hide the slope.

    A step along the sign of their gradient moves the phase by 0.5/255 * 3072 * frequency, about
    1,800: what the slope promises has long turned round.
    """

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        logits = self.model(x)
        phases = 300 * x.flatten(1).sum(dim=1, keepdim=True) + torch.arange(logits.shape[1])
        return logits + 0.3 * phases.sin()


class Pooled(nn.Module):
    """Sees means over 8x8 pixels, which random noise does not move."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model(F.interpolate(F.avg_pool2d(x, 8), scale_factor=8))


def warned(model, right, randomness=None):
    """What all checks of single images say."""
    x, labels, names = right
    defendant = Defendant(
        OURS,
        model,
        getattr(model, "model", model),
        x[:1],
        random=answers_differ(model, x[:1]),
        randomness=randomness or Randomness(),
    )
    target = defendant.target()
    found = [
        *check_answers(target, OURS, x),
        *check_gradients(defendant.target(), OURS, x, labels, names, defendant.target()),
        *check_large_budget(
            target, OURS, x, labels, norm="linf", epsilon=EIGHT, ids=names, seed=0
        ),
    ]
    assert all(each.about == OURS for each in found)
    return {each.kind: each.message for each in found}


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (Noisy, "random"),
        (lambda model: nn.Sequential(model, nn.Softmax(dim=1)), "probabilities"),
        (WithoutGradient, "no-gradient"),
        (Rounded, "zero-gradient"),
        (RoundedLogits, "zero-gradient"),
        (Misleading, "masked-gradient"),
        (lambda model: Misleading(model, _Scrambled), "masked-gradient"),
        (Rippled, "masked-gradient"),
    ],
)
def test_a_model_that_deserves_it(sample, right, make, kind):
    print(warned(make(sample.module).eval(), right))
    assert kind in warned(make(sample.module).eval(), right)
