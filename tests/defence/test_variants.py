"""A defence that differs in one thing has all else, and draws that names fix are the same ones."""

import pytest
import torch
from torch import nn

from bandlimiter import PostAverage
from bandlimiter.errors import InputError
from bandlimiter.sampling import BoundaryDirections


@pytest.fixture
def x():
    return torch.rand(4, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def around(mlp, **settings):
    chosen = {"directions": 2, "scale": 0.5, "seed": 3, "chunk": 5, **settings}
    return PostAverage(mlp, 0.8, **chosen).eval()


SETTINGS = ("radius", "directions", "evaluations", "sampler", "vote", "randomness", "defence_seed")


@pytest.mark.parametrize(
    ("change", "settings"),
    [
        ({"vote": "majority"}, {"vote": "majority"}),
        ({"seed": 8}, {"seed": 8}),
        ({"randomness": "fresh"}, {"randomness": "fresh"}),
        ({"sampler": "ball"}, {"sampler": "ball"}),
        ({}, {}),
    ],
)
def test_a_variant_is_what_the_constructor_makes_with_this_one_changed(mlp, x, change, settings):
    defence, expected = around(mlp), around(mlp, **settings)
    variant = defence.variant(**change)
    assert variant.settings == expected.settings
    assert not any(part.training for part in variant.modules())
    assert variant.scale == 0.5
    keys = list("abcd")
    # One network, the same points: equal to the last bit.
    assert torch.equal(variant.named_scores(x, keys), expected.named_scores(x, keys))
    changed = not torch.equal(variant.named_scores(x, keys), defence.named_scores(x, keys))
    assert changed is bool(change)


def test_a_variant_has_a_draw_that_came_from_elsewhere(mlp, x):
    """One that was loaded, and that no seed gives."""
    defence = around(mlp)
    defence.offsets.drawn = torch.eye(6)[:2]
    twin = defence.variant(vote="logits")
    torch.testing.assert_close(twin.neighbours(x[0]), defence.neighbours(x[0]), rtol=0, atol=0)
    other = defence.variant(seed=defence.seed)
    assert not torch.equal(other.neighbours(x[0]), defence.neighbours(x[0]))
    assert torch.equal(other.neighbours(x[0]), around(mlp).neighbours(x[0]))
    assert torch.equal(defence.drawn_directions, torch.eye(6)[:2])


def test_a_variant_around_another_model(x):
    """Also around one that is empty, which Python takes for false."""
    first, nothing = nn.Sequential(nn.Linear(6, 6)).double().eval(), nn.Sequential().eval()
    variant = PostAverage(first, 0.5, directions=1, scale=1.0, vote="logits").variant(model=nothing)
    assert variant.model is nothing
    # Antithetic steps of a linear function average out: the identity gives x back.
    torch.testing.assert_close(variant(x), x, rtol=1e-6, atol=1e-6)


def test_a_sampler_that_looks_at_the_network_keeps_its_network(mlp, x):
    sampler = BoundaryDirections(mlp)
    twin = around(mlp, sampler=sampler).variant(model=nn.Sequential(mlp), vote="logits")
    assert twin.sampler is sampler


def test_named_draws_are_predict_s_and_repeat(mlp, x):
    defence = around(mlp, randomness="fresh")
    keys = ["one", 2, "three", 4]
    scores = defence.named_scores(x, keys)
    again = defence.named_scores(x.flip(0), keys[::-1]).flip(0)
    torch.testing.assert_close(scores, again, rtol=1e-12, atol=0)  # float64, other passes
    probabilities = defence.predict(x, keys=keys).probabilities
    torch.testing.assert_close(scores.softmax(dim=1), probabilities, rtol=1e-12, atol=0)
    assert not torch.equal(scores, defence.named_scores(x, ["other", *keys[1:]]))
    with pytest.raises(InputError, match="expected 4 keys"):
        defence.named_scores(x, keys[:2])


def test_named_scores_neither_count_inputs_nor_need_counting(mlp, x):
    """Asking by name does not move the draws that unnamed inputs will get."""
    asked, fresh = (around(mlp, randomness="fresh") for _ in range(2))
    asked.named_scores(x, list("abcd"))
    assert torch.equal(asked(x), fresh(x))


def test_a_fixed_draw_needs_no_names(mlp, x):
    defence = around(mlp)
    assert torch.equal(defence.named_scores(x, list("abcd")), defence(x))


@pytest.mark.parametrize("randomness", ["fixed", "fresh"])
def test_named_scores_have_their_gradient(mlp, randomness):
    x = torch.rand(2, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    defence = around(mlp, randomness=randomness)
    x.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: defence.named_scores(x, ["a", "b"]), x)
