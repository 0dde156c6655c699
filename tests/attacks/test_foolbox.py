"""Against Foolbox's own attacks, where its current parameters can be made to agree."""

import pytest
import torch

from bandlimiter.attacks import AttackedModel, build_attack
from bandlimiter.attacks.pgd import PGD

foolbox = pytest.importorskip("foolbox", reason="needs the extra foolbox, and git")


@pytest.fixture(scope="module")
def right(sample, photos):
    """The packaged model's first correctly classified images."""
    x, y = photos.images(0, 24), photos.labels[:24]
    target = AttackedModel(sample.module)
    kept = target.predict(x) == y
    return target, foolbox.PyTorchModel(sample.module, bounds=(0, 1)), x[kept], y[kept]


def differing(ours, theirs):
    """Share of pixels that differ: signs of gradients near zero may fall either way."""
    return float(((ours - theirs).abs() > 1e-5).float().mean())


def test_fixed_fgsm(right):
    target, model, x, y = right
    attack = foolbox.attacks.LinfFastGradientAttack(random_start=False)
    _, theirs, _ = attack(model, x, y, epsilons=8 / 255)
    ours = build_attack("fgsm", "fixed")(target, x, y, epsilon=8 / 255)
    assert differing(ours.images[ours.found], theirs[ours.found]) < 1e-3


def test_fixed_pgd(right):
    target, model, x, y = right
    attack = foolbox.attacks.LinfPGD(random_start=False, rel_stepsize=1 / 30, steps=10)
    _, theirs, success = attack(model, x, y, epsilons=8 / 255)
    ours = PGD(steps=10, random_start=False)(target, x, y, epsilon=8 / 255)
    assert torch.equal(ours.found, success)
    # Ten steps let a differing sign spread; the points stay the same for all but a few pixels.
    assert differing(ours.images[ours.found], theirs[ours.found]) < 0.05


def test_carlini_wagner_finds_perturbations_as_small(right):
    target, model, x, y = right
    x, y = x[:4], y[:4]
    settings = {"steps": 100, "stepsize": 5e-3, "initial_const": 1e-1, "binary_search_steps": 3}
    _, theirs, success = foolbox.attacks.L2CarliniWagnerAttack(**settings)(
        model, x, y, epsilons=None
    )
    attack = build_attack("cw", "minimal")
    ours = type(attack)(searches=3, iterations=100, rate=5e-3, constant=1e-1)(
        target, x, y, epsilon=1
    )
    assert ours.found.all()
    assert success.all()
    # Same loss, step and constants; theirs ends when the batch stalls, ours image by image.
    ratio = float(ours.l2.mean()) / float((theirs - x).flatten(1).norm(dim=1).mean())
    assert 0.9 < ratio < 1.1


def test_minimal_attacks_find_real_and_small_perturbations(right):
    target, _, x, y = right
    for name in ("fgsm", "pgd", "deepfool"):
        result = build_attack(name, "minimal", quick=True)(target, x, y, epsilon=8 / 255)
        assert float(result.within.float().mean()) > 0.7
        assert float(result.linf[result.within].mean()) < 4 / 255


def test_targeted_pgd(right):
    """Short of the budget, so that some images reach their target and some do not."""
    target, model, x, y = right
    wanted = (y + 1) % 10
    attack = foolbox.attacks.LinfPGD(random_start=False, rel_stepsize=1 / 10, steps=10)
    goal = foolbox.criteria.TargetedMisclassification(wanted)
    _, theirs, success = attack(model, x, goal, epsilons=1.5 / 255)
    ours = PGD(steps=10, rate=1 / 10, random_start=False)(
        target, x, y, epsilon=1.5 / 255, target=wanted
    )
    assert torch.equal(ours.found, success)
    assert 0 < int(success.sum()) < len(x)
    assert differing(ours.images[ours.found], theirs[ours.found]) < 1e-2
