"""Attacks that follow a copy: what they find is adversarial for the model itself."""

import pytest
import torch
from torch import nn

from bandlimiter import PostAverage
from bandlimiter.attacks import APGD, AttackedModel, AttackInput, build_attack
from bandlimiter.attacks.attacked_model import _SHARES


def half_plane(offset: float) -> nn.Module:
    """Class 1 where x_0 > 0.5 + offset; logits are 10 times the distance, from both sides."""
    model = nn.Linear(2, 2)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[-10.0, 0.0], [10.0, 0.0]]))
        model.bias.copy_(torch.tensor([10 * (0.5 + offset), -10 * (0.5 + offset)]))
    return model.eval()


@pytest.mark.parametrize("offset", [-0.01, 0.0, 0.01])
@pytest.mark.parametrize("name", ["deepfool", "cw", "pgd"])
def test_the_smallest_perturbation_is_the_models_own(name: str, offset: float) -> None:
    """The copy's boundary is closer, or farther: what is found lies behind the model's."""
    model, copy = half_plane(0.0), half_plane(offset)
    x, labels = torch.tensor([[0.3, 0.5], [0.45, 0.2]]), torch.tensor([0, 0])
    attacked = AttackedModel(model, differentiable=copy)
    result = build_attack(name, "minimal")(attacked, x, labels, epsilon=0.5)
    assert result.found.all()
    assert (result.images[:, 0] > 0.5).all()
    distance = 0.5 - x[:, 0]
    # DeepFool goes 5 % too far, the copy is off by 0.01, and pushing ends within 0.1 % of a length.
    assert (result.linf <= 1.06 * distance + abs(offset) + 1e-3).all()


def test_pushing_reaches_the_models_boundary_and_no_farther() -> None:
    inputs = AttackInput(
        AttackedModel(half_plane(0.02), differentiable=half_plane(0.0)),
        torch.tensor([[0.3, 0.5], [0.1, 0.5], [0.3, 0.5]]),
        torch.tensor([0, 0, 0]),
        epsilon=1.0,
        ids=[0, 1, 2],
        seed=0,
    )
    # On the copy's boundary; beyond the model's; and too short to be helped by a quarter.
    moved = inputs.pushed_over(torch.tensor([[0.501, 0.5], [0.6, 0.5], [0.35, 0.5]]))
    assert 0.52 < float(moved[0, 0]) < 0.52 + 0.201 * 0.25 / 2**9 * 1.01
    assert moved[1:].equal(torch.tensor([[0.6, 0.5], [0.35, 0.5]]))


def test_a_point_that_only_the_copy_takes_for_one_is_no_find() -> None:
    attacked = AttackedModel(half_plane(0.3), differentiable=half_plane(0.0))
    x, labels = torch.tensor([[0.45, 0.5]]), torch.tensor([0])
    result = APGD(steps=10)(attacked, x, labels, epsilon=0.1)
    assert not result.found.any()


def test_a_search_that_is_scaled_is_made_once_and_counted_twice() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 3)).eval()
    x = torch.rand(6, 2)
    labels = model(x).argmax(dim=1)
    minimal, fixed = (build_attack("deepfool", protocol) for protocol in ("minimal", "fixed"))
    alone = AttackedModel(model)
    expected = fixed(alone, x, labels, epsilon=0.1)
    both = AttackedModel(model, keep_searches=True)
    first = minimal(both, x, labels, epsilon=0.1)
    asked = both.gradients
    assert first.evaluations.equal(first.queries + first.gradients)
    found = fixed(both, x, labels, epsilon=0.1)
    assert both.gradients == asked
    assert found.images.equal(expected.images)
    assert found.gradients.equal(expected.gradients)
    assert found.gradients.equal(first.gradients)
    assert found.queries.equal(expected.queries)
    assert found.evaluations.equal(expected.evaluations)
    for others in (
        {"images": x.flip(0), "labels": labels.flip(0)},
        {"labels": (labels + 1) % 3},
        {"seed": 1},
        {"epsilon": 0.2},
        {"ids": range(6, 12)},
    ):
        fixed(both, **{"images": x, "labels": labels, "epsilon": 0.1, **others})
        assert both.gradients > asked, others  # is another search
        asked = both.gradients
    twice = AttackedModel(model)
    for _ in range(2):  # and without being told, each is made
        fixed(twice, x, labels, epsilon=0.1)
    assert twice.gradients == 2 * alone.gradients


# --- a part of the points -------------------------------------------------------------


@pytest.fixture
def average() -> PostAverage:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3)).double().eval()
    with torch.no_grad():  # steep, and balanced around the middle
        model[2].weight.mul_(8)
        model[2].bias.sub_(model(torch.full((4,), 0.5, dtype=torch.float64)))
    return PostAverage(model, 0.5, directions=5, scale=1.0)


@pytest.mark.parametrize("share", [1e-6, 0.25, 1.0])
def test_a_part_averages_over_some_of_the_points(average: PostAverage, share: float) -> None:
    part = average.part(share)
    assert part.evaluations == max(1, round(31 * share))
    x = torch.rand(3, 4, dtype=torch.float64)
    points = torch.stack([average.neighbours(each) for each in x])
    probabilities = average.model(points).softmax(dim=2)
    expected = probabilities[:, part.points].mean(dim=1)
    assert len(set(part.points.tolist())) == part.evaluations
    assert torch.allclose(part(x).exp(), expected, rtol=1e-12)


def test_fresh_draws_of_a_part_are_those_of_the_whole(average: PostAverage) -> None:
    fresh = average.variant(randomness="fresh")
    x = torch.rand(2, 4, dtype=torch.float64)
    whole = fresh.named_scores(x, ["a", "b"])
    assert torch.allclose(fresh.part(1.0).named_scores(x, ["a", "b"]), whole, rtol=1e-12)


def test_shares_rise_to_all_of_the_points(average: PostAverage) -> None:
    attacked = AttackedModel(average, gradient_points="part")
    shares = [attacked.share(step / 50) for step in range(51)]
    assert shares == sorted(shares)
    assert shares[0] == _SHARES[0][1]
    assert shares[-1] == 1.0
    assert AttackedModel(average).share(0.0) == 1.0
    assert AttackedModel(average.model, gradient_points="part").share(0.0) == 1.0


@pytest.mark.parametrize("name", ["pgd", "apgd"])
def test_what_a_part_leads_to_is_judged_by_all_points(average: PostAverage, name: str) -> None:
    rng = torch.Generator().manual_seed(0)
    x = torch.rand(30, 4, dtype=torch.float64, generator=rng)
    labels = average(x).argmax(dim=1)
    attacked = AttackedModel(average, gradient_points="part")
    result = build_attack(name, "fixed")(attacked, x, labels, epsilon=0.3)
    wrong = average(result.images).argmax(dim=1) != labels
    assert result.found.equal(wrong)
    assert 0 < int(wrong.sum()) < 30
    exact = build_attack(name, "fixed")(AttackedModel(average), x, labels, epsilon=0.3)
    # As many fall as to all points: of 30 within two.
    assert abs(int(exact.found.sum()) - int(wrong.sum())) <= 2


def test_an_average_costs_its_points(average: PostAverage) -> None:
    x = torch.rand(2, 4, dtype=torch.float64)
    goal = average(x).argmax(dim=1)
    attacked = AttackedModel(average, gradient_points="part")
    attacked.logits(x, ["a", "b"])
    attacked.ascend(x, goal, names=["a", "b"], share=0.25)
    assert [each.tolist() for each in attacked.spent(["b"])] == [[1], [1], [31 + 8]]


def test_random_answers_are_followed_in_part_too(average: PostAverage) -> None:
    fresh = average.variant(randomness="fresh")
    attacked = AttackedModel(fresh, gradient_points="part")
    x = torch.rand(4, 4, dtype=torch.float64)
    labels = fresh(x).argmax(dim=1)
    found = APGD(steps=6)(attacked, x, labels, epsilon=0.3, ids=list("abcd"))
    again = APGD(steps=6)(
        AttackedModel(fresh, gradient_points="part"), x, labels, epsilon=0.3, ids=list("abcd")
    )
    assert found.images.equal(again.images)
    asked = attacked.spent(["a"])
    assert int(asked.evaluations) < 31 * int(asked.queries + asked.gradients)
