"""APGD where the optimum is known: linear models, in the ball cut with the box."""

import numpy as np
import pytest
import torch
from scipy.optimize import brentq, linprog, minimize
from torch import nn

from bandlimiter.attacks import APGD, AttackedModel, AttackInput
from bandlimiter.attacks.apgd import _checkpoints
from bandlimiter.attacks.losses import LOSSES, cross_entropy, margin
from bandlimiter.errors import ConfigurationError

DIM, COUNT = 30, 24


def linear(classes, seed=0):
    """A linear model and images of which a third of the pixels lie at 0 or 1, float64."""
    generator = torch.Generator().manual_seed(seed)
    model = nn.Linear(DIM, classes).double().requires_grad_(False)
    model.weight.copy_(torch.randn(classes, DIM, generator=generator, dtype=torch.float64))
    x = torch.rand(COUNT, DIM, generator=generator, dtype=torch.float64) * 1.5 - 0.25
    x = x.clamp(0, 1)
    model.bias.copy_(-(model.weight @ x.mean(dim=0)))
    return model, x, model(x).argmax(dim=1)


def largest_in_cube(slope, x, epsilon):
    """The most that slope . d can be over the cut cube: each pixel at the better of its ends."""
    low, high = np.maximum(-epsilon, -x.numpy()), np.minimum(epsilon, 1 - x.numpy())
    return np.maximum(slope.numpy() * low, slope.numpy() * high).sum()


def largest_in_sphere(slope, x, epsilon):
    """The same over the cut ball: d is a multiple of the slope, cut off at the box (KKT)."""
    slope, low, high = slope.numpy(), -x.numpy(), 1 - x.numpy()

    def change(multiple):
        return np.clip(multiple * slope, low, high)

    def excess(multiple):
        return np.linalg.norm(change(multiple)) - epsilon

    most = 1e6
    if excess(most) < 0:
        return slope @ change(most)
    return slope @ change(brentq(excess, 0, most, xtol=1e-14))


LARGEST = {"linf": largest_in_cube, "l2": largest_in_sphere}


def best_margins(model, x, y, epsilon, norm):
    """Each image's largest margin over the ball, the best of all other classes."""
    logits = model(x)
    best = []
    for i, label in enumerate(y.tolist()):
        runners_up = [c for c in range(logits.shape[1]) if c != label]
        gains = [
            float(logits[i, c] - logits[i, label])
            + LARGEST[norm](model.weight[c] - model.weight[label], x[i], epsilon)
            for c in runners_up
        ]
        best.append(max(gains))
    return torch.tensor(best, dtype=torch.float64)


def reached(model, x, y, epsilon, attack, seed=0):
    inputs = AttackInput(AttackedModel(model), x, y, epsilon, range(len(x)), seed)
    return margin(model(attack.run(inputs)), y)


def middling(model, x, y, norm):
    """A budget at which about half of the images can be beaten."""
    budgets = np.geomspace(1e-4, 2, 30)
    shares = [float((best_margins(model, x, y, e, norm) > 0).double().mean()) for e in budgets]
    return float(budgets[int(np.argmin(np.abs(np.array(shares) - 0.5)))])


def test_the_optima_are_those_of_general_solvers():
    model, x, _ = linear(2)
    slope, epsilon = model.weight[0] - model.weight[1], 0.3
    for point in x[:4]:
        box = np.stack([-point.numpy(), 1 - point.numpy()], axis=1)
        cube = linprog(-slope.numpy(), bounds=np.clip(box, -epsilon, epsilon))
        assert largest_in_cube(slope, point, epsilon) == pytest.approx(-cube.fun, rel=1e-9)
        sphere = minimize(
            lambda d: -slope.numpy() @ d,
            np.zeros(DIM),
            jac=lambda d: -slope.numpy(),
            bounds=box,
            constraints={
                "type": "ineq",
                "fun": lambda d: epsilon**2 - d @ d,
                "jac": lambda d: -2 * d,
            },
            method="SLSQP",
            options={"ftol": 1e-12},
        )
        # The solver stops at 1e-6 or so.
        assert largest_in_sphere(slope, point, epsilon) == pytest.approx(-sphere.fun, rel=1e-5)


@pytest.mark.parametrize("loss", ["ce", "dlr"])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_it_reaches_the_largest_margin_of_a_linear_model(norm, loss):
    model, x, y = linear(2)
    for epsilon in (0.02, 0.3):
        best = best_margins(model, x, y, epsilon, norm)
        start = margin(model(x), y)
        found = reached(model, x, y, epsilon, APGD(50, loss, norm, leave=False))
        assert bool((found <= best + 1e-9).all())
        # In the cube one step of two budgets ends in the best corner. In the cut ball the rest
        # point of "ball, then box" lies off the best one by about the step's share of the
        # budget, and 50 steps halve it seven times: 2 / 2^7.
        share = (best - found) / (best - start)
        assert float(share.max()) < {"linf": 1e-9, "l2": 0.02}[norm]


@pytest.mark.parametrize("loss", ["ce", "dlr"])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_it_succeeds_exactly_where_an_adversarial_point_exists(norm, loss):
    model, x, y = linear(2)
    epsilon = middling(model, x, y, norm)
    best = best_margins(model, x, y, epsilon, norm)
    result = APGD(50, loss, norm)(AttackedModel(model), x, y, epsilon=epsilon)
    exists = best > 0
    assert 0.2 < float(exists.double().mean()) < 0.8
    # No image lies so close to its boundary that the ball's 2 % above decide.
    assert float((best.abs() / (best - margin(model(x), y))).min()) > 0.02
    assert torch.equal(result.within, exists)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_of_many_classes_it_beats_only_what_can_be_beaten_and_nearly_all_of_it(norm):
    model, x, y = linear(6, seed=1)
    epsilon = middling(model, x, y, norm)
    exists = best_margins(model, x, y, epsilon, norm) > 0
    result = APGD(50, "dlr", norm, restarts=3)(AttackedModel(model), x, y, epsilon=epsilon)
    assert not (result.within & ~exists).any()
    # The loss has a kink where runners-up tie, so that a start may end in a corner of its own.
    assert int((exists & ~result.within).sum()) <= 1


def test_checkpoints_are_the_paper_s():
    """p_0 = 0, p_1 = 0.22, p_j+1 = p_j + max(p_j - p_j-1 - 0.03, 0.06); w_j = ceil(p_j N).

    By hand: 0.22 + 0.19, + 0.16, + 0.13, + 0.10, + 0.07, + 0.06, + 0.06.
    """
    assert _checkpoints(100) == {
        22: 0, 41: 22, 57: 41, 70: 57, 80: 70, 87: 80, 93: 87, 99: 93,
    }  # fmt: skip
    assert list(_checkpoints(10)) == [3, 5, 6, 7, 8, 9, 10]
    assert list(_checkpoints(1)) == [1]


class Saturated(nn.Module):
    """Logits a hundred times too large: the label's probability is 1 in float32."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return 5e3 * self.model(x.double()).float()


def test_dlr_beats_a_saturated_model_on_which_cross_entropy_is_lost():
    model, x, y = linear(6)
    far = margin(model(x), y) < -0.5
    x, y = x[far].float(), y[far]
    target = AttackedModel(Saturated(model))
    assert not target.loss_gradient(x, y).any()
    assert not APGD(20, "ce")(target, x, y, epsilon=1e-3).found.any()
    epsilon = 0.3
    exists = best_margins(model, x.double(), y, epsilon, "linf") > 0
    assert APGD(50, "dlr")(target, x, y, epsilon=epsilon).within[exists].double().mean() > 0.9


# --- what it promises beside ------------------------------------------------------------


@pytest.fixture
def subject(convnet):
    generator = torch.Generator().manual_seed(5)
    x = torch.rand(12, 3, 8, 8, generator=generator, dtype=torch.float64)
    convnet.requires_grad_(False)
    return AttackedModel(convnet), x, convnet(x).argmax(dim=1)


@pytest.mark.parametrize("loss", ["ce", "dlr"])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_going_on_and_restarting_never_lose(subject, norm, loss):
    target, x, y = subject
    epsilon = {"linf": 0.05, "l2": 0.5}[norm]

    def losses(attack):
        points = attack.run(AttackInput(target, x, y, epsilon, range(len(x)), 0))
        return LOSSES[loss].untargeted(target.logits(points), y)

    left = losses(APGD(15, loss, norm))
    stayed = losses(APGD(15, loss, norm, leave=False))
    restarted = losses(APGD(15, loss, norm, restarts=3, leave=False))
    assert bool((stayed >= left - 1e-9).all())
    assert bool((restarted >= stayed - 1e-9).all())
    assert bool((stayed > left + 1e-3).any())
    assert bool((restarted > stayed + 1e-9).any())


def test_restarts_break_no_less(subject):
    target, x, y = subject
    broken = [APGD(3, restarts=r)(target, x, y, epsilon=0.004).within.int() for r in (1, 2, 4)]
    assert bool((broken[1] >= broken[0]).all())
    assert bool((broken[2] >= broken[1]).all())


def test_an_image_leaves_with_its_first_adversarial_point(subject):
    target, x, y = subject
    result = APGD(10)(target, x, y, epsilon=0.5)
    assert result.within.all()
    assert int(result.gradients.max()) < 11
    stayed = APGD(10, leave=False)(target, x, y, epsilon=0.5)
    # The start and ten steps.
    assert stayed.gradients.tolist() == [11] * len(x)


@pytest.mark.parametrize("pixels", [torch.float32, torch.float64])
@pytest.mark.parametrize("weights", [torch.float32, torch.float64])
def test_a_model_may_have_another_precision_than_its_images(pixels, weights):
    model, x, y = linear(3)
    model.to(weights)
    result = APGD(5, restarts=2)(AttackedModel(model), x.to(pixels), y, epsilon=0.3)
    assert result.within.any()
    assert result.images.dtype == pixels


def test_a_real_network_falls(sample, photos):
    x, y = photos.images(0, 16), photos.labels[:16]
    target = AttackedModel(sample.module)
    right = target.predict(x) == y
    x, y = x[right], y[right]
    for norm, epsilon in (("linf", 4 / 255), ("l2", 0.5)):
        for loss in ("ce", "dlr"):
            result = APGD(20, loss, norm)(target, x, y, epsilon=epsilon)
            assert float(result.within.double().mean()) > 0.9
            assert cross_entropy(target.logits(result.images), y).mean() > 0.5


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"restarts": 0}, {"loss": "mse"}, {"norm": "l1"}])
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ConfigurationError, match="expected"):
        APGD(**wrong)
