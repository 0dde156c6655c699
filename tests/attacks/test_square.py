"""Square: inside its ball, within its queries, at the authors' sides, right where that is known."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bandlimiter.attacks import AttackedModel, AttackInput, Randomness, Square
from bandlimiter.attacks.losses import margin
from bandlimiter.attacks.square import _Search
from bandlimiter.attacks.square_moves import _hill
from bandlimiter.errors import ConfigurationError, InputError

SHAPES = [(1, 1, 1), (1, 2, 3), (3, 5, 4), (1, 28, 28), (3, 6, 20)]
EITHER = pytest.mark.parametrize("norm", ["linf", "l2"])


class Linear(nn.Module):
    """Two classes, float64, and every point that it was asked about."""

    def __init__(self, shape, lead=0.0):
        super().__init__()
        generator = torch.Generator().manual_seed(7)
        weight = torch.randn(shape, generator=generator, dtype=torch.float64)
        self.register_buffer("weight", weight)
        self.lead = lead
        self.asked = []

    def forward(self, x):
        self.asked.append(x.clone())
        other = ((x.double() - 0.5) * self.weight).flatten(1).sum(dim=1) - self.lead
        return torch.stack([torch.zeros_like(other), other], dim=1)


UNBEATABLE = 1e3


def images(shape, count=1, seed=0, low=-0.2, high=1.2):
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(count, *shape, generator=generator, dtype=torch.float64)
    return (low + (high - low) * x).clamp(0, 1)


def inputs(target, x, epsilon, seed=0, ids=None):
    names = range(len(x)) if ids is None else ids
    return AttackInput(target, x, torch.zeros(len(x), dtype=torch.int64), epsilon, names, seed)


@EITHER
@settings(deadline=None, max_examples=25)
@given(
    shape=st.sampled_from(SHAPES),
    seed=st.integers(0, 10**6),
    epsilon=st.floats(1e-3, 1.5),
    queries=st.sampled_from([1, 2, 30]),
)
def test_it_asks_inside_the_ball_alone_and_returns_the_best_answer(
    norm, shape, seed, epsilon, queries
):
    model = Linear(shape, UNBEATABLE)
    target, x = AttackedModel(model), images(shape, seed=seed)
    found = Square(queries, norm).run(inputs(target, x, epsilon, seed))
    asked = torch.cat(model.asked)
    assert len(asked) == queries
    assert 0 <= float(asked.min()) <= float(asked.max()) <= 1
    change = (asked - x).flatten(1)
    length = change.abs().amax(dim=1) if norm == "linf" else change.norm(dim=1)
    # Rounding of float64 pixels.
    assert float(length.max()) <= epsilon * (1 + 1e-12) + 1e-15
    label = torch.zeros(1, dtype=torch.int64)
    best = max(margin(model(one), label) for one in asked.split(1))
    # Exact, as passes of one image round alike: the point that is kept was asked about, and none
    # was better.
    assert torch.equal(margin(model(found), label), best)


@pytest.mark.parametrize("shape", SHAPES[2:])
def test_in_l2_every_proposal_spends_the_whole_budget(shape):
    model = Linear(shape, UNBEATABLE)
    x = torch.full((1, *shape), 0.5, dtype=torch.float64)
    Square(60, "l2").run(inputs(AttackedModel(model), x, 0.3))  # no box is in the way
    lengths = (torch.cat(model.asked) - x).flatten(1).norm(dim=1)
    torch.testing.assert_close(lengths, torch.full_like(lengths, 0.3), rtol=1e-12, atol=0)


@pytest.mark.parametrize("shape", SHAPES[2:])
def test_in_l_inf_every_pixel_lies_on_one_of_its_two_bounds(shape):
    model = Linear(shape, UNBEATABLE)
    x = images(shape)
    Square(60).run(inputs(AttackedModel(model), x, 0.1))
    asked = torch.cat(model.asked)
    low, high = (x - 0.1).clamp(0, 1), (x + 0.1).clamp(0, 1)
    assert ((asked == low) | (asked == high)).all()


@pytest.mark.parametrize("shape", [(1, 3, 3), (2, 3, 4)])
def test_on_a_linear_model_it_ends_in_the_best_corner(shape):
    """Each pixel of a channel at the better of its two bounds; single pixels are tried often.

    2^C patterns at each of 12 pixels are met by 1,500 draws: one is missed with 1e-12 or so.
    """
    model = Linear(shape, UNBEATABLE)
    x = images(shape, count=6)
    found = Square(1500).run(inputs(AttackedModel(model), x, 0.2))
    low, high = (x - 0.2).clamp(0, 1), (x + 0.2).clamp(0, 1)
    best = torch.where(model.weight > 0, high, low)
    assert torch.equal(found, best)


@pytest.mark.parametrize("draws", [1, 2])
@pytest.mark.parametrize("queries", [1, 2, 3, 20])
def test_no_image_gets_more_answers_than_its_budget(queries, draws):
    shape = (1, 6, 6)
    target = AttackedModel(Linear(shape, lead=0.8), randomness=Randomness(draws=draws))
    x = images(shape, 12)
    x = x[~target.fooled(x, torch.zeros(12, dtype=torch.int64))]
    names = [f"image {i}" for i in range(len(x))]
    found = Square(queries).run(inputs(target, x, 0.05, ids=names))
    spent, gradients, _ = target.spent(names)
    assert int(spent.max()) <= queries * draws
    assert not gradients.any()
    if draws == 1:  # who is left has spent all, and who left had reason to
        fooled = target.fooled(found, torch.zeros(len(x), dtype=torch.int64))
        assert bool((fooled | (spent == queries)).all())
        assert fooled.any() or queries < 20


def test_sides_follow_the_authors_schedule():
    """For 10,000 queries of 32x32 pixels: sqrt(0.8 * 1024 / 2^k), by hand.

    28.6, 20.2, 14.3, 10.1, 7.2, 5.1, 3.6, 2.5, 1.8, 1.3; odd and at least 3 in L2.
    """
    after = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
    sides = {
        "linf": (29, 20, 14, 10, 7, 5, 4, 3, 2, 1),
        "l2": (29, 21, 15, 11, 7, 5, 5, 3, 3, 3),
    }
    for norm, expected in sides.items():
        part = inputs(AttackedModel(Linear((3, 32, 32))), images((3, 32, 32)), 0.1)
        search = _Search(part, Square(10_000, norm))
        found = [search._side(part, at) for at in (0, *(a + 1 for a in after))]
        assert found == list(expected)
        assert [search._side(part, at) for at in after] == list(expected[:-1])


@pytest.mark.parametrize("queries", [500, 5000, 10_000])
def test_areas_are_those_of_the_authors_own_code(queries):
    theirs = pytest.importorskip("pyautoattack.square").SquareAttack(
        None, n_queries=queries, p_init=0.8
    )
    part = inputs(AttackedModel(Linear((1, 40, 40))), images((1, 40, 40)), 0.1)
    search = _Search(part, Square(queries))
    for proposal in range(0, queries, 7):
        area = theirs.p_selection(proposal) * 1600
        assert search._side(part, proposal) == max(round(area**0.5), 1)


@pytest.mark.parametrize("side", range(2, 22))
def test_hills_are_those_of_the_authors_own_code(side):
    theirs = pytest.importorskip("pyautoattack.square").SquareAttack(None, norm="L2")
    theirs.device = "cpu"
    expected, ours = theirs.eta(side).double(), _hill(side)  # theirs lies or stands by chance
    distance = min((ours - expected).abs().max(), (ours.T - expected).abs().max())
    assert float(distance) < 1e-6  # float32


@pytest.mark.parametrize("side", range(1, 22))
def test_a_hill_has_length_one_and_falls_as_deep_as_it_rises(side):
    hill = _hill(side)
    assert float(hill.norm()) == pytest.approx(1, rel=1e-12)
    if side > 1:
        up, down = hill[: side // 2], hill[side // 2 :]
        assert bool((up > 0).all())
        assert bool((down < 0).all())
        assert float(up.norm()) == pytest.approx(float(down.norm()), rel=1e-12)
        if side % 2 == 0:
            assert float(hill.sum()) == pytest.approx(0, abs=1e-12)


def test_other_inputs_and_settings_are_refused():
    target = AttackedModel(nn.Linear(4, 2))
    with pytest.raises(InputError, match="N, C, H, W"):
        Square(5)(target, torch.zeros(2, 4), torch.zeros(2, dtype=torch.int64), epsilon=0.1)
    for wrong in ({"queries": 0}, {"area": 0}, {"area": 1.1}, {"norm": "l1"}):
        with pytest.raises(ConfigurationError, match="expected"):
            Square(**wrong)
