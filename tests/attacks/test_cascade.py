"""Cascades: who leaves when, what it cost, and who cannot run; attacks carried over."""

import pytest
import torch
from torch import nn

from bandlimiter import PostAverage
from bandlimiter.attacks import (
    APGD,
    PGD,
    Attack,
    AttackedModel,
    AttackInput,
    Square,
    TransferAttack,
    run_cascade,
)
from bandlimiter.errors import ConfigurationError, InputError

EPSILON = 0.1


class Brightness(nn.Module):
    """Class 1 where the mean of a grey image is above one half."""

    def __init__(self, place=0.5):
        super().__init__()
        self.place = place

    def forward(self, x):
        mean = x.flatten(1).mean(dim=1)
        return torch.stack([torch.full_like(mean, self.place), mean], dim=1)


class Brighter(Attack):
    """Adds a given brightness, and keeps the names of the images that it was given."""

    protocol = "fixed"

    def __init__(self, name, by):
        self.name, self.by, self.seen = name, by, []

    def run(self, inputs):
        self.seen.append(list(inputs.ids))
        x = inputs.images + self.by
        inputs.fooled(x)
        return x


class Frozen(Brightness):
    @torch.no_grad()
    def forward(self, x):
        return super().forward(x)


@pytest.fixture
def greys():
    """Images at 0.48, 0.46, ... 0.36, from nearly broken by any step to out of reach."""
    levels = torch.arange(0.48, 0.35, -0.02)
    return levels[:, None, None, None].repeat(1, 1, 4, 4), torch.zeros(7, dtype=torch.int64)


NAMES = list("abcdefg")


def test_an_image_leaves_with_the_first_stage_that_breaks_it(greys):
    x, y = greys
    # What lies within 0.1 counts: the third stage goes too far.
    first, second, far = Brighter("first", 0.03), Brighter("second", 0.07), Brighter("far", 0.2)
    last = Brighter("last", 0.095)
    target = AttackedModel(Brightness())
    run = run_cascade([first, second, far, last], target, x, y, epsilon=EPSILON, ids=NAMES)
    assert run.stages == ["first", "second", "second", "last", None, None, None]
    assert first.seen == [NAMES]
    assert second.seen == [NAMES[1:]]
    assert far.seen == last.seen == [NAMES[3:]]
    result = run.result
    assert result.within.tolist() == [True] * 4 + [False] * 3
    assert result.found.tolist() == result.within.tolist()
    expected = torch.tensor([0.03, 0.07, 0.07, 0.095, 0, 0, 0], dtype=torch.float64)
    torch.testing.assert_close(result.linf, expected, rtol=0, atol=1e-6)
    assert result.labels.tolist() == [1] * 4 + [0] * 3
    # Each stage asks once, and the base once more.
    assert result.queries.tolist() == [2, 4, 4, 8, 8, 8, 8]
    assert target.queries == int(result.queries.sum())
    assert run.without_gradient == []


def test_evaluations_are_the_sums_of_the_stages_on_their_own(greys):
    x, y = greys
    stages = [APGD(3), APGD(3, "dlr", name="apgd-dlr"), Square(5)]
    target = AttackedModel(Brightness())
    target.logits(x, NAMES)  # what was asked before is not the cascade's
    run = run_cascade(stages, target, x, y, epsilon=0.05, ids=NAMES, seed=1)
    alone = AttackedModel(Brightness())
    queries, gradients = torch.zeros(7, dtype=torch.int64), torch.zeros(7, dtype=torch.int64)
    left = torch.arange(7)
    for stage in stages:
        names = [NAMES[i] for i in left]
        found = stage(alone, x[left], y[left], epsilon=0.05, ids=names, seed=1)
        queries[left] += found.queries
        gradients[left] += found.gradients
        left = left[~found.within]
    assert 0 < len(left) < 7
    assert torch.equal(run.result.queries, queries)
    assert torch.equal(run.result.gradients, gradients)
    assert [name is None for name in run.stages] == (~run.result.within).tolist()


def test_the_cascade_is_as_strong_as_its_strongest_stage(convnet):
    draw = torch.Generator().manual_seed(1)
    x = torch.rand(16, 3, 8, 8, generator=draw, dtype=torch.float64)
    target = AttackedModel(PostAverage(convnet.requires_grad_(False), 0.3, directions=2, scale=1.0))
    y = target.predict(x)
    stages = [PGD(4, 0.5), APGD(8), APGD(8, "dlr", name="apgd-dlr"), Square(30)]
    alone = [stage(target, x, y, epsilon=0.02).within for stage in stages]
    together = run_cascade(stages, target, x, y, epsilon=0.02)
    assert torch.equal(together.result.within, torch.stack(alone).any(dim=0))
    assert 0 < int(together.result.within.sum()) < 16


def test_stages_without_a_gradient_are_skipped_and_named(greys):
    x, y = greys
    target = AttackedModel(Frozen())
    stages = [APGD(3), Square(20), PGD(3)]
    run = run_cascade(stages, target, x, y, epsilon=EPSILON, ids=NAMES)
    assert run.without_gradient == ["apgd", "pgd"]
    assert "square" in run.stages
    assert set(run.stages) == {"square", None}
    assert not run.result.gradients.any()
    with pytest.raises(InputError, match="needs no gradient.*apgd, pgd; add square"):
        run_cascade([APGD(3), PGD(3)], target, x, y, epsilon=EPSILON)
    with pytest.raises(ConfigurationError, match="at least one attack"):
        run_cascade([], target, x, y, epsilon=EPSILON)


# --- carried over -----------------------------------------------------------------------


def test_only_images_that_the_source_gets_right_are_attacked(greys):
    x, y = greys
    source = AttackedModel(Brightness(0.45))  # wrong already on 0.48 and 0.46
    inner = Brighter("inner", 0.07)
    attack = TransferAttack(inner, source)
    assert (attack.name, attack.protocol, attack.norm) == ("transfer", "fixed", "linf")
    target = AttackedModel(Brightness())
    candidates = attack.run(AttackInput(target, x, y, EPSILON, NAMES, 0))
    assert inner.seen == [NAMES[2:]]
    assert torch.equal(candidates[:2], x[:2])
    torch.testing.assert_close(candidates[2:], x[2:] + 0.07)
    assert target.queries == 0  # the target is asked by the base alone
    result = attack(target, x, y, epsilon=EPSILON, ids=NAMES)
    assert result.queries.tolist() == [1] * 7
    # 0.44 + 0.07 is above the target's one half, 0.42 + 0.07 is not.
    assert result.within.tolist() == [False, False, True, False, False, False, False]


def test_what_the_source_falls_for_may_not_fool_the_target(sample, photos):
    """Points of the plain model, judged on the defended one; wrong nowhere else than there."""
    x, y = photos.images(0, 12), photos.labels[:12]
    plain = AttackedModel(sample.module)
    averaged = PostAverage(sample.module, sample.paper_radius, directions=3)
    target = AttackedModel(averaged.eval())
    kept = (plain.predict(x) == y) & (target.predict(x) == y)
    x, y = x[kept], y[kept]
    attack = TransferAttack(APGD(8, leave=False), plain)
    result = attack(target, x, y, epsilon=2 / 255)
    again = target.predict(result.images)
    assert torch.equal(result.within, again != y)
    assert not result.gradients.any()
    points = attack.run(AttackInput(target, x, y, 2 / 255, list(range(len(x))), 0))
    assert float(plain.fooled(points, y).double().mean()) > 0.8


def test_a_source_that_is_right_nowhere_leaves_all_as_it_is(greys):
    x, y = greys
    inner = Brighter("inner", 0.06)
    found = TransferAttack(inner, AttackedModel(Brightness(0.1)))(
        AttackedModel(Brightness()), x, y, epsilon=EPSILON
    )
    assert inner.seen == []
    assert torch.equal(found.images, x)
