"""What holds for every registered attack; `table.py` says what each of them promises."""

import pytest
import torch
from torch import nn

from bandlimiter.attacks import (
    ATTACKS,
    AttackedModel,
    AttackInput,
    Goal,
    Randomness,
    attack_names,
    stage_names,
)
from bandlimiter.attacks.base import grade
from bandlimiter.errors import ConfigurationError, InputError, NoGradientError
from tests.attacks.table import CASES, TABLE


def each(cases):
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.label)


EVERY = each(CASES)
WHOLE_BUDGET = each([case for case in CASES if case.protocol == "fixed"])
TARGETED = each([case for case in CASES if case.promised.targeted])
EPSILON = {"linf": 0.05, "l2": 1.0}
COUNT = 8


@pytest.fixture
def network(convnet):
    return convnet.requires_grad_(False)


@pytest.fixture
def images(network):
    """Images with pixels at both bounds, and the labels that the network gives them."""
    generator = torch.Generator().manual_seed(5)
    x = torch.rand(COUNT, 3, 8, 8, generator=generator, dtype=torch.float64) * 1.2 - 0.1
    x = x.clamp(0, 1)
    return x, network(x).argmax(dim=1)


def length(change, norm):
    flat = change.flatten(1)
    return flat.abs().amax(dim=1) if norm == "linf" else flat.norm(dim=1)


def test_the_table_has_them_all():
    assert list(TABLE) == list(ATTACKS)
    assert attack_names() == [name for name, line in TABLE.items() if line.protocols]
    assert stage_names() == [name for name, line in TABLE.items() if line.norms]
    for name, promised in TABLE.items():
        assert tuple(ATTACKS[name].protocols) == promised.protocols


@EVERY
def test_its_name_and_flags_are_those_it_is_registered_with(case, network):
    attack = case.on(network)
    assert attack.name == case.name
    assert (attack.protocol, attack.norm) == (case.protocol, case.norm)
    assert attack.quick is (case.label != "fgsm-fixed")  # one step is none too many
    assert attack.targeted == case.promised.targeted == ATTACKS[case.name].targeted
    assert attack.needs_gradient == case.promised.gradient


@EVERY
def test_what_it_finds_is_an_image_that_fools_the_model_within_the_budget(case, network, images):
    x, y = images
    before, epsilon = x.clone(), EPSILON[case.norm]
    result = case.on(network)(AttackedModel(network), x, y, epsilon=epsilon, seed=1)
    assert torch.equal(x, before)
    assert result.found.any()
    assert 0 <= float(result.images.min()) <= float(result.images.max()) <= 1
    assert torch.equal(network(result.images).argmax(dim=1) != y, result.found)
    assert torch.equal(result.images[~result.found], x[~result.found])
    size = length(result.images - x, case.norm)
    # Rounding of float64 pixels.
    assert float(size[result.within].max()) <= epsilon * (1 + 1e-12)
    if case.protocol == "fixed":
        assert torch.equal(result.within, result.found)
    else:
        assert torch.equal(result.within, result.found & (size <= epsilon * (1 + 1e-12)))


@WHOLE_BUDGET
def test_a_whole_budget_is_not_overspent_where_it_does_not_suffice_either(case, network, images):
    x, y = images
    epsilon = EPSILON[case.norm] / 10
    given = AttackInput(AttackedModel(network), x, y, epsilon, range(COUNT), 0)
    points = case.on(network).run(given).clamp(0, 1)
    assert float(length(points - x, case.norm).max()) <= epsilon * (1 + 1e-12)


@EVERY
def test_a_model_that_cannot_be_beaten_is_not(case, images):
    x, _ = images
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 5)).double().requires_grad_(False)
    model[1].weight.zero_()
    model[1].bias.copy_(torch.arange(5, 0, -1))
    result = case.on(model)(
        AttackedModel(model), x, torch.zeros(COUNT, dtype=torch.int64), epsilon=0.5
    )
    assert not result.found.any()
    assert torch.equal(result.images, x)


@EVERY
def test_the_seed_decides(case, network, images):
    x, y = images

    def found(seed):
        attacked = AttackedModel(network)
        return case.on(network)(attacked, x, y, epsilon=EPSILON[case.norm], seed=seed).images

    first = found(3)
    assert torch.equal(found(3), first)
    assert torch.equal(found(4), first) is not case.promised.random


@EVERY
@pytest.mark.parametrize("draws", [1, 2])
def test_an_image_s_result_is_its_own(case, network, images, draws):
    """Not its neighbours', nor the order's; in float64 to the rounding of other batch sizes."""
    require_own_results(case, network, *images, draws)


@TARGETED
def test_an_image_s_result_is_its_own_with_targets_too(case, network, images):
    x, y = images
    require_own_results(case, network, x, y, 1, (y + 2) % 5)


def require_own_results(case, network, x, y, draws, target=None):
    ids = list(range(100, 100 + COUNT))

    def found(rows):
        names = [ids[i] for i in rows.tolist()]
        model = AttackedModel(network, randomness=Randomness(draws=draws))
        wanted = None if target is None else target[rows]
        given = AttackInput(model, x[rows], y[rows], EPSILON[case.norm], names, 3, wanted)
        # As it comes, before the verdict, which rounding can turn for a point on a boundary.
        return case.on(network).run(given), *model.spent(names)

    everyone = torch.arange(COUNT)
    (whole, *spent), (back, *again) = found(everyone), found(everyone.flip(0))
    torch.testing.assert_close(back.flip(0), whole, rtol=0, atol=1e-9)
    assert all(torch.equal(b.flip(0), a) for a, b in zip(spent, again, strict=True))
    for i in range(0, COUNT, 3):
        one, *_ = found(everyone[i : i + 1])
        torch.testing.assert_close(one[0], whole[i], rtol=0, atol=1e-9)


class Detached(nn.Module):
    """The same answers without a gradient."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network(x.detach())


@EVERY
def test_without_a_gradient_it_says_so_or_needs_none(case, network, images):
    x, y = images
    model = Detached(network)
    attack, epsilon = case.on(model), EPSILON[case.norm]
    if case.promised.gradient:
        with pytest.raises(NoGradientError, match="with a gradient"):
            attack(AttackedModel(model), x, y, epsilon=epsilon)
        return
    with_gradient = case.on(network)(AttackedModel(network), x, y, epsilon=epsilon)
    without = attack(AttackedModel(model), x, y, epsilon=epsilon)
    assert torch.equal(without.images, with_gradient.images)
    assert not with_gradient.gradients.any()


# --- targets -----------------------------------------------------------------------------


@EVERY
def test_it_ends_at_its_targets_or_refuses_them(case, network, images):
    x, y = images
    target, attack = (y + 1) % 5, case.on(network)
    given = {"epsilon": {"linf": 0.5, "l2": 5}[case.norm], "target": target}
    if not case.promised.targeted:
        with pytest.raises(ConfigurationError, match=f"targeted form .*got {attack.name}"):
            attack(AttackedModel(network), x, y, **given)
        return
    found = attack(AttackedModel(network), x, y, **given)
    assert found.found.any()
    answers = network(found.images).argmax(dim=1)
    assert torch.equal(answers[found.found], target[found.found])
    assert torch.equal(answers[~found.found], y[~found.found])  # these are the originals


class OnlyTwo(nn.Module):
    """Class 0 or 1, by the first pixel; class 2 exists, and nothing is ever given it."""

    def forward(self, x):
        first = x.flatten(1)[:, :1]
        return torch.cat([torch.full_like(first, 0.5), first, 0 * first - 9], dim=1)


@TARGETED
def test_another_wrong_class_is_no_success(case):
    """It leaves class 0 at this budget without a target; the target is out of reach."""
    model, wanted = OnlyTwo(), torch.full((3,), 2)
    x, y = torch.full((3, 1, 2, 2), 0.45), torch.zeros(3, dtype=torch.int64)
    found = case.on(model)(AttackedModel(model), x, y, epsilon=0.5, target=wanted)
    assert not found.found.any()
    assert torch.equal(found.images, x)
    assert torch.equal(found.labels, y)
    graded = grade(AttackedModel(model), x, Goal(y, wanted), x + 0.2, 0.5)
    assert not graded.found.any()
    assert (graded.wrong.tolist(), graded.reached.tolist()) == ([1.0] * 3, [0.0] * 3)


# --- shapes ------------------------------------------------------------------------------


@EVERY
def test_inputs_without_channels_are_attacked_or_refused(case, mlp):
    x = torch.rand(4, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y, attack = mlp(x).argmax(dim=1), case.on(mlp)
    if attack.image_axes is None:
        assert attack(AttackedModel(mlp), x, y, epsilon=0.5).found.any()
    else:
        with pytest.raises(InputError, match="N, C, H, W"):
            attack(AttackedModel(mlp), x, y, epsilon=0.5)
