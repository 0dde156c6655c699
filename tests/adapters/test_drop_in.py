"""A defended model goes into other libraries as it is: AutoAttack, Foolbox, ART and conventions."""

import logging

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bandlimiter.defence import PostAverage

EPSILON = 8 / 255
# A perturbation of exactly epsilon, read off as a difference of float32 pixels.
ROUNDING = 2.0**-23


@pytest.fixture(scope="module")
def right(sample, photos):
    """A defended model (K = 1, seven evaluations), and images that it classifies correctly."""
    defence = PostAverage(sample.module, 6, directions=1).eval()  # or Foolbox warns
    x, y = photos.images(0, 8), photos.labels[:8]
    kept = defence.predict(x).labels == y
    assert int(kept.sum()) >= 5
    return defence, x[kept], y[kept]


@pytest.fixture(scope="module")
def fresh(sample):
    return PostAverage(sample.module, 6, directions=1, randomness="fresh").eval()


def require_broken(defence, broken, x, y, *, most=0.2):
    """What came out is within the budget, and the defence, asked again, falls for it."""
    assert broken.shape == x.shape
    assert float((broken - x).abs().max()) <= EPSILON + ROUNDING
    assert float(broken.min()) >= 0
    assert float(broken.max()) <= 1
    with torch.no_grad():
        accuracy = float((defence(broken).argmax(1) == y).float().mean())
    assert accuracy <= most


def small_autoattack(defence, version):
    """AutoAttack with a few steps of each attack, in place of 100 and 5,000 queries."""
    autoattack = pytest.importorskip("pyautoattack", reason="needs pip install pyautoattack")
    attack = autoattack.AutoAttack(defence, norm="Linf", eps=EPSILON, seed=0, version=version)
    attack.apgd.n_iter = 5
    attack.apgd.eot_iter = min(attack.apgd.eot_iter, 2)
    attack.apgd_targeted.n_iter, attack.apgd_targeted.n_target_classes = 5, 2
    attack.fab.n_iter, attack.fab.n_target_classes = 5, 2
    attack.square.n_queries = 30
    return attack


def warnings_of(caplog):
    return [record.message for record in caplog.records if record.levelno >= logging.WARNING]


def test_autoattack(right, caplog):
    """Its checks find logits, and neither a randomised nor a dynamic defence nor lost gradients."""
    defence, x, y = right
    attack = small_autoattack(defence, "standard")
    with caplog.at_level(logging.DEBUG, "auto-attack"):
        broken, _ = attack.run_standard_evaluation(x, y, batch_size=4)
    require_broken(defence, broken, x, y)
    assert "initial accuracy: 100.00%" in caplog.text  # so that the log is the one of this run
    assert not warnings_of(caplog)


def test_each_attack_of_autoattack(right):
    defence, x, y = right
    found = small_autoattack(defence, "standard").run_standard_evaluation_individual(
        x[:4], y[:4], batch_size=4
    )
    assert set(found) == {"apgd-ce", "apgd-t", "fab-t", "square"}
    for name, (broken, _) in found.items():
        # With gradients all fall; 30 queries without them are few.
        most = 1.0 if name == "square" else 0.5
        require_broken(defence, broken, x[:4], y[:4], most=most)


def test_autoattack_s_version_for_random_defences(right, fresh, caplog):
    _, x, y = right
    attack = small_autoattack(fresh, "rand")
    assert attack.apgd.eot_iter == 2  # 20 by default: gradients averaged over draws
    with caplog.at_level(logging.DEBUG, "auto-attack"):
        broken, _ = attack.run_standard_evaluation(x, y, batch_size=4)
    require_broken(fresh, broken, x, y, most=0.4)  # at new draws
    assert not warnings_of(caplog)


def test_autoattack_notices_fresh_draws(right, fresh, caplog):
    _, x, y = right
    small_autoattack(fresh, "standard").run_standard_evaluation(x[:2], y[:2], batch_size=2)
    assert any("randomized defense" in message for message in warnings_of(caplog))


def test_foolbox(right):
    foolbox = pytest.importorskip("foolbox", reason="needs the extra foolbox, and git")
    defence, x, y = right
    model = foolbox.PyTorchModel(defence, bounds=(0, 1))
    assert foolbox.accuracy(model, x, y) == 1
    attack = foolbox.attacks.LinfPGD(steps=8, rel_stepsize=1 / 4)
    _, broken, success = attack(model, x, y, epsilons=EPSILON)
    assert float(success.float().mean()) >= 0.8
    require_broken(defence, broken, x, y)


def test_foolbox_over_fresh_draws(right, fresh):
    foolbox = pytest.importorskip("foolbox", reason="needs the extra foolbox, and git")
    _, x, y = right
    model = foolbox.PyTorchModel(fresh, bounds=(0, 1))
    averaged = foolbox.models.ExpectationOverTransformationWrapper(model, n_steps=2)
    attack = foolbox.attacks.LinfPGD(steps=5, rel_stepsize=1 / 3)
    _, broken, _ = attack(averaged, x, y, epsilons=EPSILON)
    require_broken(fresh, broken, x, y, most=0.4)  # at new draws


def test_art_s_own_classifier(right):
    pytest.importorskip("art", reason="needs pip install 'bandlimiter[art]'")
    from art.attacks.evasion import ProjectedGradientDescent
    from art.estimators.classification import PyTorchClassifier

    defence, x, y = right
    place = next(defence.parameters()).device
    classifier = PyTorchClassifier(
        defence,
        torch.nn.CrossEntropyLoss(),
        tuple(x.shape[1:]),
        10,
        clip_values=(0, 1),
        device_type="gpu" if place.type == "cuda" else "cpu",
    )
    attack = ProjectedGradientDescent(
        classifier, eps=EPSILON, eps_step=2 / 255, max_iter=8, verbose=False
    )
    broken = attack.generate(x.numpy(), np.eye(10)[y])
    require_broken(defence, torch.from_numpy(broken), x, y)


class ConventionalPGD:
    """What an attack of torchattacks asks of a model, written out.

    Not the library itself, which pins an old version of requests (2.25). Its attacks are made of
    a model, called as ``attack(images, labels)`` with NCHW images in [0, 1], call
    ``model(images)`` on a leaf that requires a gradient, and take `torch.autograd.grad` of a
    loss on what it returns, without keeping the graph.
    """

    def __init__(self, model, eps, alpha, steps):
        self.model, self.eps, self.alpha, self.steps = model, eps, alpha, steps

    def __call__(self, images, labels):
        moved = images.clone().detach()
        for _ in range(self.steps):
            moved.requires_grad = True
            cost = F.cross_entropy(self.model(moved), labels)
            (gradient,) = torch.autograd.grad(cost, moved, retain_graph=False, create_graph=False)
            moved = moved.detach() + self.alpha * gradient.sign()
            moved = (images + (moved - images).clamp(-self.eps, self.eps)).clamp(0, 1)
        return moved


def test_the_convention_of_torchattacks(right):
    defence, x, y = right
    attack = ConventionalPGD(defence, eps=EPSILON, alpha=2 / 255, steps=8)
    require_broken(defence, attack(x, y), x, y)


def clean_accuracy(model, x, y, batch_size):
    """What RobustBench's function of this name asks: logits of slices, without a gradient."""
    right = 0
    with torch.no_grad():
        for images, labels in zip(x.split(batch_size), y.split(batch_size), strict=True):
            right += int((model(images).argmax(1) == labels).sum())
    return right / len(x)


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_the_convention_of_robustbench(sample, photos, batch_size):
    x, y = photos.images(0, 24), photos.labels[:24]
    for defence in (
        PostAverage(sample.module, 6, directions=1),
        PostAverage(sample.module, 6, directions=1, vote="majority"),
    ):
        expected = float((defence.predict(x).labels == y).double().mean())
        assert clean_accuracy(defence, x, y, batch_size) == pytest.approx(expected)
        assert expected > 0.5


def test_softmax_of_the_scores_is_the_mean_probability(right):
    """Why log-probabilities serve as logits: also after a library's own log-softmax."""
    defence, x, y = right
    with torch.no_grad():
        scores = defence(x)
        points = torch.stack([defence.neighbours(one) for one in x])
        p = torch.stack([defence.model(around).softmax(1).mean(0) for around in points])
    # float32 softmax and logarithm, seven terms.
    torch.testing.assert_close(scores.softmax(1), p, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(scores.log_softmax(1), scores, rtol=1e-5, atol=1e-5)
    loss = F.cross_entropy(scores, y, reduction="none")
    torch.testing.assert_close(loss, -p[torch.arange(len(y)), y].log(), rtol=1e-4, atol=1e-5)
