"""Targeted attacks: success is the target and nothing else; the shortest way is known exactly.

The model's logits are its pixels. To make pixel t the largest, L-inf moves it up and all others
down by half of what it lacks; L2 raises it to a level and cuts the larger ones down to it.
"""

import pytest
import torch
from torch import nn

from bandlimiter.attacks import (
    APGD,
    PGD,
    AttackedModel,
    MinimalPGD,
    Randomness,
    build_attack,
    run_cascade,
)
from bandlimiter.attacks.base import Attack, grade
from bandlimiter.attacks.carlini_wagner import MinimalCarliniWagner
from bandlimiter.attacks.goals import Goal
from bandlimiter.errors import ConfigurationError, InputError

COUNT, CLASSES = 12, 6


class Pixels(nn.Module):
    """Pixels as logits: [N, ...] -> [N, pixels], times some factor."""

    def __init__(self, factor=1):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return self.factor * x.flatten(1)


def points(shape=(CLASSES,)):
    """Points well inside [0, 1], their labels, and targets spread over the other classes."""
    generator = torch.Generator().manual_seed(0)
    x = 0.3 + 0.4 * torch.rand(COUNT, *shape, generator=generator, dtype=torch.float64)
    y = x.flatten(1).argmax(dim=1)
    return x, y, (y + 1 + torch.arange(COUNT) % (CLASSES - 1)) % CLASSES


X, Y, WANTED = points()
LINF = (X.amax(dim=1) - X.gather(1, WANTED[:, None])[:, 0]) / 2


def shortest_l2():
    """The level a with a - x_t = sum of max(x_j - a, 0), by bisection; then the length."""
    own = X.gather(1, WANTED[:, None])
    low, high = own, X.amax(dim=1, keepdim=True)
    for _ in range(60):
        level = (low + high) / 2
        too_low = level - own < (X - level).clamp_min(0).sum(dim=1, keepdim=True)
        low, high = torch.where(too_low, level, low), torch.where(too_low, high, level)
    return ((low - own).square() + (X - low).clamp_min(0).square().sum(1, True)).sqrt()[:, 0]


def attacked(attack, epsilon=1.0, **how):
    return attack(AttackedModel(Pixels()), X, Y, epsilon=epsilon, target=WANTED, **how)


# --- closed forms ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "attack",
    [PGD(steps=60), APGD(steps=30), build_attack("fgsm", "fixed")],
    ids=["pgd", "apgd", "fgsm"],
)
def test_whole_budget_attacks_reach_the_target_exactly_where_it_is_in_reach(attack):
    for i in range(COUNT):
        target = AttackedModel(Pixels())
        given = {"images": X[i : i + 1], "labels": Y[i : i + 1], "target": WANTED[i : i + 1]}
        near = attack(target, **given, epsilon=1.001 * float(LINF[i]))
        assert near.within.all()
        assert torch.equal(near.labels, given["target"])
        far = attack(target, **given, epsilon=0.999 * float(LINF[i]))
        assert not far.within.any()


def test_minimal_pgd_finds_the_smallest_budget_of_the_target():
    # A rate at which 40 steps cross the ball from any start.
    ratio = attacked(MinimalPGD(rate=1 / 15)).linf / LINF
    # Nothing is closer, up to the rounding of pixels; 20 bisections of 0.3 end 3e-7 wide, and
    # the smallest distance here is above 1e-3.
    assert float(LINF.min()) > 1e-3
    assert 1 - 1e-12 <= float(ratio.min()) <= float(ratio.max()) < 1.001


def test_minimal_fgsm_takes_the_first_step_of_its_grid_that_reaches_the_target():
    found = attacked(build_attack("fgsm", "minimal"))
    first = ((1000 * LINF).floor() + 1) / 1000
    finer = first * ((20 * LINF / first).floor() + 1) / 20
    expected = torch.where(first <= 20 / 1000, finer, first)
    assert not torch.equal(expected, first)  # some images have the second grid
    torch.testing.assert_close(found.linf, expected, rtol=0, atol=1e-12)


def test_carlini_wagner_comes_close_to_the_shortest():
    # 300 steps of 2e-3 go farther than any of these points is from its target.
    result = attacked(MinimalCarliniWagner(searches=7, iterations=300, rate=2e-3, constant=0.1))
    assert torch.equal(result.labels, WANTED)
    ratio = result.l2 / shortest_l2()
    # The constant is known to a hundredth after seven rounds, and Adam wavers by its rate.
    assert 1 - 1e-12 <= float(ratio.min()) <= float(ratio.max()) < 1.02


@pytest.mark.parametrize("loss", ["ce", "dlr"])
def test_apgd_in_l2_reaches_what_is_in_reach(loss):
    """Where two classes matter, both losses point the shortest way."""
    target = AttackedModel(Pixels(100))  # the probability of the other four is below 1e-9
    x = torch.full((4, CLASSES), 0.1, dtype=torch.float64)
    x[:, 0], x[:, 3] = 0.6, torch.tensor([0.3, 0.4, 0.5, 0.59], dtype=torch.float64)
    y, wanted = torch.zeros(4, dtype=torch.int64), torch.full((4,), 3)
    for i in range(4):
        nearest = float(x[i, 0] - x[i, 3]) / 2**0.5
        given = {"images": x[i : i + 1], "labels": y[i : i + 1], "target": wanted[i : i + 1]}
        attack = APGD(steps=100, loss=loss, norm="l2")
        # The third and fourth logit under the ratio cost it a little of its length.
        assert attack(target, **given, epsilon=1.05 * nearest).within.all()
        assert not attack(target, **given, epsilon=0.999 * nearest).within.any()


# --- what counts -------------------------------------------------------------------------


class Turning(nn.Module):
    """Answers class 2, 2, 1, 2, 2, 1, ... whatever it is asked."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        answer = torch.full((len(x),), 1 if self.calls % 3 == 0 else 2)
        return nn.functional.one_hot(answer, 3).to(x.dtype)


@pytest.mark.parametrize(
    ("share", "target", "found"), [(0.6, 2, True), (0.7, 2, False), (0.3, 1, True)]
)
def test_random_answers_must_be_the_target_in_the_stated_share(share, target, found):
    x, y = torch.full((2, 4), 0.5), torch.zeros(2, dtype=torch.int64)
    rules = Randomness(redraws=6, broken_share=share)
    goal = Goal(y, torch.full((2,), target))
    graded = grade(AttackedModel(Turning(), randomness=rules), x, goal, x + 0.1, 0.2)
    assert graded.found.tolist() == [found] * 2
    torch.testing.assert_close(graded.reached, torch.full((2,), (target / 3)).double())
    assert graded.wrong.tolist() == [1.0, 1.0]


def test_a_cascade_hands_each_image_s_target_on(convnet):
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(8, 3, 8, 8, generator=generator, dtype=torch.float64)
    y = convnet(x).argmax(dim=1)
    wanted = (y + 1 + torch.arange(8) % 4) % 5
    stages = [PGD(steps=1), APGD(steps=2), APGD(steps=60, name="long")]
    run = run_cascade(stages, AttackedModel(convnet), x, y, epsilon=0.1, target=wanted)
    assert len({stage for stage in run.stages if stage}) > 1  # else nothing was handed on
    broken = torch.tensor([stage is not None for stage in run.stages])
    assert torch.equal(run.result.within, broken)
    assert torch.equal(convnet(run.result.images).argmax(dim=1)[broken], wanted[broken])


# --- refusals ----------------------------------------------------------------------------


def test_attacks_without_a_targeted_form_say_which_have_one():
    deepfool = [build_attack("deepfool", each, quick=True) for each in ("minimal", "fixed")]
    for attack in deepfool:
        with pytest.raises(ConfigurationError, match=r"fgsm, pgd, cw, apgd.*got deepfool"):
            attacked(attack)
    with pytest.raises(ConfigurationError, match="got deepfool"):
        run_cascade([PGD(), *deepfool], AttackedModel(Pixels()), X, Y, epsilon=0.1, target=WANTED)

    class Own(Attack):
        name, protocol = "own", "fixed"

        def run(self, inputs):
            return inputs.images

    with pytest.raises(ConfigurationError, match="got own"):
        attacked(Own())


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (WANTED.double(), "whole numbers, got torch.float64"),
        (WANTED.tolist(), "as a tensor of whole numbers, got list"),
        (AttackedModel(Pixels()), "as a tensor of whole numbers, got AttackedModel"),
        (WANTED[1:], "12 targets, one class index per image"),
        (WANTED[:, None], "12 targets, one class index per image"),
        (torch.full((COUNT,), CLASSES), f"from 0 to {CLASSES - 1}.*from {CLASSES} to {CLASSES}"),
        (WANTED - CLASSES, f"from 0 to {CLASSES - 1}"),
        (torch.where(torch.arange(COUNT) == 4, Y, WANTED), "other than the labels.*position 4"),
    ],
)
def test_targets_that_are_none_are_refused(wanted, message):
    for call in (APGD(steps=1), lambda *given, **how: run_cascade([APGD(1)], *given, **how)):
        with pytest.raises(InputError, match=message):
            call(AttackedModel(Pixels()), X, Y, epsilon=0.1, target=wanted)


def test_targets_of_any_whole_kind_will_do():
    expected = attacked(PGD(steps=3), 0.05)
    for dtype in (torch.int32, torch.uint8, torch.uint16):
        found = PGD(steps=3)(AttackedModel(Pixels()), X, Y, epsilon=0.05, target=WANTED.to(dtype))
        assert torch.equal(found.images, expected.images)
