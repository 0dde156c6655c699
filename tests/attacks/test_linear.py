"""On a linear classifier the distance to the boundary is known in closed form."""

import pytest
import torch
from torch import nn

from bandlimiter.attacks import AttackedModel, build_attack, default_names
from bandlimiter.attacks.carlini_wagner import MinimalCarliniWagner
from bandlimiter.attacks.pgd import MinimalPGD

CLASSES, DIM, COUNT = 5, 40, 16


def linear_problem(classes):
    """A linear model, points well inside [0, 1], and their exact distances in L-inf and L2."""
    generator = torch.Generator().manual_seed(0)
    model = nn.Linear(DIM, classes).double().requires_grad_(False)
    model.weight.copy_(torch.randn(classes, DIM, generator=generator, dtype=torch.float64))
    model.bias.copy_(-model.weight @ torch.full((DIM,), 0.5, dtype=torch.float64))
    x = 0.5 + 0.1 * (torch.rand(COUNT, DIM, generator=generator, dtype=torch.float64) - 0.5)
    logits = model(x)
    y = logits.argmax(dim=1)
    margins = logits.gather(1, y[:, None]) - logits
    differences = model.weight[y][:, None] - model.weight
    others = torch.ones_like(margins, dtype=torch.bool).scatter(1, y[:, None], False)

    def distance(norm):
        lengths = differences.abs().sum(dim=2) if norm == 1 else differences.norm(dim=2)
        return torch.where(others, margins / lengths, torch.inf).amin(dim=1)

    return AttackedModel(model), x, y, distance(1), distance(2)


@pytest.fixture(scope="module")
def five_classes():
    return linear_problem(CLASSES)


@pytest.fixture(scope="module")
def binary():
    """With two classes the sign of the gradient is the shortest way in L-inf."""
    return linear_problem(2)


def test_deepfool_takes_one_step_five_per_cent_too_far(five_classes):
    target, x, y, _, l2 = five_classes
    result = build_attack("deepfool", "minimal")(target, x, y, epsilon=1)
    assert result.found.all()
    # Foolbox's 1e-8 under the norm is the only inexactness.
    torch.testing.assert_close(result.l2, 1.05 * l2, rtol=1e-6, atol=0)


def test_carlini_wagner_comes_close_to_the_shortest(five_classes):
    target, x, y, _, l2 = five_classes
    # A rate well below the distances, which start at 0.002.
    attack = MinimalCarliniWagner(searches=9, iterations=500, rate=5e-4, constant=1e-2)
    result = attack(target, x, y, epsilon=1)
    assert result.found.all()
    ratio = result.l2 / l2
    assert float(ratio.min()) >= 1  # nothing is closer than the boundary
    # Nine rounds fix the constant to a few per cent, and Adam wavers by its rate.
    assert float(ratio.max()) < 1.1


def test_minimal_pgd_finds_the_smallest_budget(binary):
    target, x, y, linf, _ = binary
    result = MinimalPGD(rate=1 / 15)(target, x, y, epsilon=1)
    assert result.found.all()
    ratio = result.linf / linf
    assert float(ratio.min()) >= 1 - 1e-12
    # 20 bisections of 0.3 end 3e-7 wide; the smallest distance here is 1e-4. The random start
    # moves the last success by as much again.
    assert float(linf.min()) > 1e-4
    assert float(ratio.max()) < 1.005


def test_foolbox_s_forty_steps_do_not_cross_the_ball(binary):
    """40 steps of eps/30 from a uniform start u end at min(1, u + 4/3): 1/9 short on average.

    So the paper's PGD reports budgets about 9/8 of the smallest.
    """
    target, x, y, linf, _ = binary
    result = build_attack("pgd", "minimal")(target, x, y, epsilon=1)
    # A shortfall has a standard deviation of 0.18 a coordinate: 0.03 over 40, 0.01 over 16
    # images; and the best of some twenty starts is kept, which lowers the mean by up to 0.05.
    assert 9 / 8 - 0.08 < float((result.linf / linf).mean()) < 9 / 8 + 0.03


def test_minimal_fgsm_is_the_first_successful_step_of_its_grid(binary):
    target, x, y, linf, _ = binary
    attack = build_attack("fgsm", "minimal")
    result = attack(target, x, y, epsilon=1)
    assert result.found.all()
    direction = target.loss_gradient(x, y).sign()
    for i in range(COUNT):

        def fooled(size, i=i):
            return bool(target.fooled((x + size * direction)[i : i + 1].clamp(0, 1), y[i : i + 1]))

        coarse = next(k for k in range(1, 1001) if fooled(k / 1000)) / 1000
        expected = coarse
        if coarse <= 0.02:
            expected = next(k * coarse / 20 for k in range(1, 21) if fooled(k * coarse / 20))
        assert float(result.linf[i]) == pytest.approx(expected, rel=1e-9)
    assert (result.linf >= linf - 1e-12).all()


@pytest.mark.parametrize("name", default_names())
def test_the_fixed_protocol_spends_the_whole_budget(binary, name):
    target, x, y, linf, _ = binary
    # L2 attacks move most pixels less than the budget; ten times the distance is plenty.
    epsilon = float(linf.max()) * 10
    result = build_attack(name, "fixed", quick=name == "cw")(target, x, y, epsilon=epsilon)
    assert result.found.all()
    assert result.within.all()
    torch.testing.assert_close(
        result.linf, torch.full_like(result.linf, epsilon), rtol=1e-9, atol=0
    )
