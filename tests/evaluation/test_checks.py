"""Each warning comes for a model made to deserve it, and for no honest one."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from bandlimiter import PostAverage, accelerate, evaluate
from bandlimiter.attacks import AttackedModel, Randomness
from bandlimiter.data import ArrayImages
from bandlimiter.evaluation import Adaptive
from bandlimiter.evaluation.checking import SHARE, affordable
from bandlimiter.evaluation.defence_under_test import DefenceUnderTest, has_gradient
from bandlimiter.evaluation.sanity_checks import (
    LARGE_BUDGET_STEPS,
    answers_differ,
    check_answers,
    check_gradients,
    check_large_budget,
    check_square,
)
from bandlimiter.results import OURS
from tests.results.test_compare_defences import cascade_row

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


def mean_colours():
    """Ten classes by the mean colour, which random noise of many pixels does not move."""
    torch.manual_seed(0)
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 10))


def warned(model, right, randomness=None):
    """What all checks of single images say."""
    x, labels, names = right
    defence = DefenceUnderTest(
        OURS,
        model,
        getattr(model, "model", model),
        x[:1],
        random=answers_differ(model, x[:1]),
        randomness=randomness or Randomness(),
    )
    target = defence.attacked()
    found = [
        *check_answers(target, OURS, x),
        *check_gradients(defence.attacked(), OURS, x, labels, names, defence.attacked()),
        *check_large_budget(target, OURS, x, labels, norm="linf", epsilon=EIGHT, ids=names, seed=0),
    ]
    assert all(each.about == OURS for each in found)
    return {each.kind: each.message for each in found}


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (Noisy, "random"),
        (lambda model: PostAverage(model, 6, directions=1, randomness="fresh"), "random"),
        (lambda model: nn.Sequential(model, nn.Softmax(dim=1)), "probabilities"),
        (WithoutGradient, "no-gradient"),
        (lambda model: PostAverage(WithoutGradient(model), 6, directions=1), "no-gradient"),
        (Rounded, "zero-gradient"),
        (RoundedLogits, "zero-gradient"),
        (Misleading, "masked-gradient"),
        (lambda model: Misleading(model, _Scrambled), "masked-gradient"),
        (lambda model: PostAverage(Misleading(model), 6, directions=1), "masked-gradient"),
        (Rippled, "masked-gradient"),
    ],
)
def test_a_model_that_deserves_a_warning_gets_this_one_and_no_other(sample, right, make, kind):
    torch.manual_seed(0)  # of the noise
    assert list(warned(make(sample.module).eval(), right)) == [kind]


def test_a_majority_vote_is_looked_at_through_the_function_that_has_the_gradient(sample, right):
    """Shares of votes and log-probabilities are not on one scale: comparing them says nothing."""
    x, labels, names = right
    model = PostAverage(Misleading(sample.module), 6, directions=1, vote="majority").eval()
    defence = DefenceUnderTest(
        OURS, model, model.model, x[:1], random=False, randomness=Randomness()
    )
    (found,) = check_gradients(defence.attacked(), OURS, x, labels, names)
    assert found.kind == "masked-gradient"


def test_a_large_budget_that_leaves_images_right(right):
    model = Misleading(mean_colours()).eval()
    x, _, names = right
    with torch.no_grad():
        own = x, model(x).argmax(dim=1), names
    said = warned(model, own)
    assert set(said) == {"masked-gradient", "large-budget"}
    assert "8 of 8 images stay right at a budget of 64/255" in said["large-budget"]
    for norm, size in (("l2", "13.9 (L2)"), ("linf", "64/255 (L-inf)")):  # sqrt(3072) 64/255
        (found,) = check_large_budget(
            AttackedModel(model), "mine", x, own[1], norm=norm, epsilon=0.02, ids=names, seed=0
        )
        assert size in found.message
        assert found.about == "mine"


HONEST = {
    "plain": lambda model: model,
    "fixed": lambda model: PostAverage(model, 6, directions=1),
    "fresh": lambda model: PostAverage(model, 6, directions=1, randomness="fresh"),
    "majority": lambda model: PostAverage(model, 6, directions=1, vote="majority"),
    "fresh majority": lambda model: PostAverage(
        model, 6, directions=1, vote="majority", randomness="fresh"
    ),
    "logits": lambda model: PostAverage(model, 6, directions=1, vote="logits"),
    "weighted": lambda model: PostAverage(model, 6, directions=1, vote="weighted"),
    "noisy, over several draws": lambda model: Noisy(model, 0.3),
}


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_model_gets_none(sample, right, name):
    torch.manual_seed(0)
    assert warned(HONEST[name](sample.module).eval(), right, Randomness(4, 3)) == {}


def test_an_honest_linear_model_gets_none(right):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3072, 10)).eval()
    x, _, names = right
    with torch.no_grad():
        assert warned(model, (x, model(x).argmax(dim=1), names)) == {}


def test_a_small_budget_in_l2_is_not_taken_for_a_large_one(sample, right):
    """The check's budget is large for an image, whatever the run's."""
    x, labels, names = right
    target = AttackedModel(sample.module)
    assert not check_large_budget(
        target, OURS, x, labels, norm="l2", epsilon=0.005, ids=names, seed=0
    )


def test_both_ends_of_a_step_have_the_same_draws(sample, right):
    x, labels, names = right
    model = PostAverage(sample.module, 6, directions=1, randomness="fresh").eval()
    asked = []

    class Listening(nn.Module):
        def named_scores(self, x, keys):
            asked.append(list(keys))
            return model.named_scores(x, keys)

    ends = (AttackedModel(Listening(), randomness=Randomness(draws=2)) for _ in range(2))
    start, end = ends
    check_gradients(start, OURS, x, labels, names, end)
    assert asked[:2] == asked[2:]
    assert asked[0] != asked[1]


def test_whether_a_gradient_can_be_had(sample, right):
    x = right[0][:1]
    assert has_gradient(sample.module, x)
    assert has_gradient(Rounded(sample.module), x)  # zero, but there
    assert not has_gradient(WithoutGradient(sample.module), x)
    assert not has_gradient(accelerate(sample.module, backend="eager", dtype="float32").model, x)
    assert not x.requires_grad


@pytest.mark.parametrize(
    ("by_square", "left", "fires"),
    [(0, 9, False), (1, 0, False), (2, 0, True), (2, 18, False), (3, 17, True)],
)
def test_square_wins_from_more_than_a_tenth_on(by_square, left, fires):
    rows = [cascade_row(i, stage="square") for i in range(by_square)]
    rows += [cascade_row(100 + i) for i in range(left)]
    rows += [cascade_row(200 + i, stage="apgd") for i in range(50)]
    rows += [cascade_row(300 + i, clean=1) for i in range(50)]
    rows += [cascade_row(i, stage="square", defence="jpeg") for i in range(50)]
    found = check_square(rows, OURS)
    assert [each.kind for each in found] == ["square-wins"] * fires
    if fires:
        assert f"broke {by_square} of the {by_square + left} images" in found[0].message


# --- in a run ----------------------------------------------------------------------------


def run(model, defence, photos, count, **settings):
    """Evaluate on images with the labels that the defence gives, so that all are attacked."""
    x = photos.images(0, count)
    with torch.no_grad():
        labels = defence(x).argmax(dim=1)
    adaptive = Adaptive(**settings)
    return evaluate(
        model,
        defence,
        ArrayImages("own labels", x, labels),
        threat="adaptive",
        adaptive=adaptive,
        epsilon=16 / 255,
    )


def kinds(found):
    return [each["kind"] for each in found.tables["warnings"]]


@pytest.mark.slow
def test_a_run_warns_of_masked_gradients_when_square_wins(sample, photos):
    defence = Misleading(sample.module).eval()
    found = run(sample.module, defence, photos, 8, stages=("apgd", "square"), steps=5, queries=150)
    assert kinds(found) == ["masked-gradient", "square-wins"]
    by = {row.stage for row in found.rows if row.defence == OURS}
    assert "square" in by
    said = found.tables["verdict"]
    assert said.endswith("Do not trust these numbers as they stand: masked-gradient, square-wins.")
    # With Square first, it takes nothing from attacks that did not have their turn.
    found = run(sample.module, defence, photos, 8, stages=("square", "apgd"), steps=5, queries=150)
    assert kinds(found) == ["masked-gradient"]


def test_a_run_without_gradients_says_so_once(sample, photos):
    """Square has the images to itself: that it wins says nothing."""
    defence = WithoutGradient(sample.module).eval()
    found = run(sample.module, defence, photos, 4, stages=("apgd", "square"), steps=3, queries=60)
    assert kinds(found) == ["no-gradient"]


def test_an_honest_run_has_no_warnings(sample, photos):
    defence = PostAverage(sample.module, 6, directions=1).eval()
    found = run(sample.module, defence, photos, 6, steps=10, queries=20)
    assert found.tables["warnings"] == []
    assert "Do not trust" not in found.tables["verdict"]


def test_nothing_is_looked_at_without_attacks_on_the_defence(sample, photos):
    defence = Misleading(sample.module).eval()
    images = photos.limited(2, None, 0)
    found = evaluate(sample.module, defence, images, ["fgsm"], protocol="fixed", threat="transfer")
    assert found.tables["warnings"] == []


# --- what they cost ----------------------------------------------------------------------


@given(
    images=st.integers(1, 300),
    steps=st.integers(1, 100),
    restarts=st.integers(1, 3),
    stages=st.lists(st.sampled_from(["apgd", "apgd-dlr", "square"]), min_size=1, unique=True),
)
def test_a_large_budget_costs_a_stated_part_of_the_cascade(images, steps, restarts, stages):
    adaptive = Adaptive(stages=tuple(stages), steps=steps, restarts=restarts)
    count, starts = affordable(adaptive, images)
    following = sum(stage != "square" for stage in stages)
    most = SHARE * images * steps * restarts * following
    spent = count * starts * LARGE_BUDGET_STEPS
    assert spent <= max(most, 2 * LARGE_BUDGET_STEPS)
    assert 2 <= count <= 8
    assert 1 <= starts <= 2
