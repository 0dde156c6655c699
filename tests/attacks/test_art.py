"""Targeted PGD and APGD succeed about as often as the Adversarial Robustness Toolbox's.

``tools/attacks/peers.py --targets`` compares more images, budgets and both kinds of targets.
"""

import numpy as np
import pytest
import torch
from torch import nn

from bandlimiter.attacks import APGD, PGD, AttackedModel, Goal
from bandlimiter.attacks.base import grade
from bandlimiter.results import paired_difference

evasion = pytest.importorskip("art.attacks.evasion")
pytorch = pytest.importorskip("art.estimators.classification.pytorch")

EPSILON, STEPS = 2 / 255, 10
IN_ART = {
    "pgd": (evasion.ProjectedGradientDescentPyTorch, 2.5 * EPSILON / STEPS, {}),
    "apgd": (
        evasion.AutoProjectedGradientDescent,
        2 * EPSILON,
        {"loss_type": "cross_entropy", "nb_random_init": 1},
    ),
}
OURS = {"pgd": PGD(steps=STEPS, rate=2.5 / STEPS), "apgd": APGD(steps=STEPS)}


@pytest.mark.parametrize("count", [16, pytest.param(53, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", list(OURS))
def test_success_is_art_s_within_the_interval(sample, photos, name, count):
    x, y = photos.images(0, count), photos.labels[:count]
    target = AttackedModel(sample.module)
    logits = target.logits(x)
    right = logits.argmax(dim=1) == y
    x, goal = x[right], Goal(y, logits.argmin(dim=1))[right]
    kind, step, more = IN_ART[name]
    classifier = pytorch.PyTorchClassifier(
        sample.module,
        loss=nn.CrossEntropyLoss(),
        input_shape=(3, 32, 32),
        nb_classes=10,
        clip_values=(0.0, 1.0),
        device_type="cpu",
    )
    attack = kind(
        classifier,
        norm=np.inf,
        eps=EPSILON,
        eps_step=step,
        max_iter=STEPS,
        targeted=True,
        verbose=False,
        **more,
    )
    np.random.seed(0)  # ART draws its starts from this one
    found = torch.from_numpy(attack.generate(x.numpy(), np.eye(10)[goal.target_labels.numpy()]))
    theirs = grade(target, x, goal, found, EPSILON).within
    ours = OURS[name](target, x, goal.labels, epsilon=EPSILON, target=goal.target_labels).within
    assert 0 < int(ours.sum()) < len(ours)
    only = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
    _, low, high = paired_difference(*only, len(ours))
    assert low <= 0 <= high
    # Each has one random start: a few images fall either way, not most of them.
    assert sum(only) <= len(ours) / 5
