"""The losses against their formula, written out in numpy, and against what it implies."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from bandlimiter.errors import ConfigurationError
from bandlimiter.hardening import RECIPES, Recipe
from bandlimiter.hardening.recipes import resolve_recipe
from tests.hardening.problems import is_one_line

FUZZ = settings(max_examples=150, deadline=None)
EPS = float(np.finfo(np.float32).eps)


def written_out(recipe, logits, labels):
    """Equations 6 to 8 of Jeong and Shin in float64, one image and one copy at a time."""
    count = len(labels)
    losses = []
    for image in range(count):
        shares = []
        for copy in range(recipe.draws):
            z = logits[copy * count + image]
            shares.append(np.exp(z - z.max()) / np.exp(z - z.max()).sum())
        mean = sum(shares) / recipe.draws
        wrong = np.mean([-math.log(p[labels[image]]) for p in shares])
        apart = np.mean([np.sum(mean * np.log(mean / p)) for p in shares])
        unsure = -np.sum(mean * np.log(mean))
        losses.append(wrong + recipe.weight * apart + recipe.entropy * unsure)
    return float(np.mean(losses))


@st.composite
def cases(draw, least=1):
    draws = draw(st.integers(least, 4))
    weight, entropy = (
        draw(st.floats(0, 20)) if draws > 1 else 0.0 for _ in ("divergence", "entropy")
    )
    count, classes = draw(st.integers(1, 5)), draw(st.integers(2, 6))
    stream = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scale = draw(st.sampled_from([0.0, 0.1, 1.0, 5.0, 10.0]))
    logits = np.float32(scale * stream.standard_normal((draws * count, classes)))
    return Recipe("r", draws, weight, entropy), logits, stream.integers(0, classes, count)


def rounding(recipe, logits):
    """What float32 may be off: some roundings of the largest log-probability, by each weight."""
    largest = 2 * float(np.abs(logits).max()) + math.log(logits.shape[1])
    return 16 * EPS * (1 + largest) * (1 + 2 * recipe.weight + recipe.entropy)


@FUZZ
@given(cases())
def test_the_loss_is_its_formula(case):
    recipe, logits, labels = case
    loss = recipe.loss(torch.from_numpy(logits), torch.from_numpy(labels))
    expected = written_out(recipe, np.float64(logits), labels)
    assert float(loss) == pytest.approx(expected, rel=0, abs=rounding(recipe, logits))


@FUZZ
@given(cases(least=2))
def test_copies_that_agree_leave_cross_entropy_and_entropy(case):
    recipe, logits, labels = case
    alike = np.tile(logits[: len(labels)], (recipe.draws, 1))
    loss = recipe.loss(torch.from_numpy(alike), torch.from_numpy(labels))
    z, y = torch.from_numpy(alike[: len(labels)]).double(), torch.from_numpy(labels)
    unsure = torch.distributions.Categorical(logits=z).entropy().mean()
    expected = float(F.cross_entropy(z, y) + recipe.entropy * unsure)
    assert float(loss) == pytest.approx(expected, rel=0, abs=rounding(recipe, alike))


@FUZZ
@given(cases(least=2))
def test_a_divergence_only_adds(case):
    recipe, logits, labels = case
    without = Recipe("w", recipe.draws, 0.0, recipe.entropy)
    more, less = (
        float(each.loss(torch.from_numpy(logits), torch.from_numpy(labels)))
        for each in (recipe, without)
    )
    assert more >= less - rounding(recipe, logits)


@FUZZ
@given(cases(least=2), st.randoms(use_true_random=False))
def test_copies_have_no_order(case, chance):
    recipe, logits, labels = case
    copies = logits.reshape(recipe.draws, len(labels), -1)
    order = list(range(recipe.draws))
    chance.shuffle(order)
    one, other = (
        float(recipe.loss(torch.from_numpy(given), torch.from_numpy(labels)))
        for given in (logits, copies[order].reshape(logits.shape))
    )
    assert one == pytest.approx(other, rel=0, abs=rounding(recipe, logits))


def test_gaussian_is_cross_entropy():
    stream = torch.Generator().manual_seed(0)
    logits = torch.randn(64, 10, generator=stream)
    labels = torch.randint(0, 10, (64,), generator=stream)
    loss = RECIPES["gaussian"].loss(logits, labels)
    assert torch.equal(loss, F.cross_entropy(logits, labels))


def test_two_copies_that_are_sure_of_different_classes():
    # One copy is wrong by 40. The mean is a half each: its entropy is log 2, and its divergence
    # from either copy half of log(1/2) and half of log(1/2) + 40.
    recipe = Recipe("r", draws=2, weight=3.0, entropy=0.5)
    loss = recipe.loss(torch.tensor([[40.0, 0.0], [0.0, 40.0]]), torch.tensor([0]))
    assert float(loss) == pytest.approx(
        20 + 3 * (20 - math.log(2)) + 0.5 * math.log(2), abs=rounding(recipe, np.eye(2) * 40)
    )


def test_the_gradient_pulls_copies_together():
    recipe = Recipe("r", draws=2, weight=1.0)
    logits = torch.tensor([[0.5, 0.0], [-0.5, 0.0]], requires_grad=True)
    plain = torch.autograd.grad(Recipe("p", 2).loss(logits, torch.tensor([0])), logits)[0]
    (both,) = torch.autograd.grad(recipe.loss(logits, torch.tensor([0])), logits)
    pull = -(both - plain)[:, 0]
    # Symmetric about equal odds: the pulls are opposite, and towards each other.
    assert float(pull[0]) < 0 < float(pull[1])
    assert float(pull.sum()) == pytest.approx(0, abs=4 * EPS)


def test_half_precision_logits_count_as_float32():
    logits = torch.randn(8, 5, generator=torch.Generator().manual_seed(0)).bfloat16()
    labels = torch.tensor([0, 1, 2, 3])
    recipe = RECIPES["consistency"]
    loss = recipe.loss(logits, labels)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, recipe.loss(logits.float(), labels))


def test_the_recipes_that_are_known():
    assert resolve_recipe("consistency") == Recipe("consistency", 2, 10.0, 0.5)
    assert resolve_recipe("gaussian").draws == 1
    own = Recipe("own", 3, 1.0)
    assert resolve_recipe(own) is own


@pytest.mark.parametrize(
    "make",
    [
        lambda: Recipe("r", draws=0),
        lambda: Recipe("r", draws=2, weight=-1.0),
        lambda: Recipe("r", draws=2, entropy=-0.1),
        lambda: Recipe("r", draws=2, weight=math.nan),
        lambda: Recipe("r", draws=1, weight=1.0),
        lambda: Recipe("r", draws=1, entropy=1.0),
        lambda: Recipe("r", draws=1.5),
        lambda: resolve_recipe("smooth"),
    ],
)
def test_recipes_that_are_none(make):
    with pytest.raises(ConfigurationError, match="expected") as caught:
        make()
    assert is_one_line(caught.value)
