"""A defended model stands unchanged where other libraries expect a classifier."""

import numpy as np
import pytest
import torch
from torch import nn

from bandlimiter import PostAverage


@pytest.fixture
def defended(sample):
    return PostAverage(sample.module, 6, directions=2).eval()


def test_foolbox_s_pgd_runs_on_a_defended_model(defended, photos):
    foolbox = pytest.importorskip("foolbox", reason="needs the extra foolbox, and git")
    model = foolbox.PyTorchModel(defended, bounds=(0, 1), device="cpu")
    x, y = photos.images(0, 4), photos.labels[:4]
    attack = foolbox.attacks.LinfPGD(steps=3, random_start=False)
    _, (clipped,), _ = attack(model, x, y, epsilons=[8 / 255])
    assert float((clipped - x).abs().max()) <= 8 / 255 + 1e-6
    # It follows a real gradient: the defended loss rises on every image.
    with torch.no_grad():
        before = nn.functional.cross_entropy(defended(x), y, reduction="none")
        after = nn.functional.cross_entropy(defended(clipped), y, reduction="none")
    assert (after > before).all()


def test_art_s_classifier_runs_on_a_defended_model(defended, photos):
    estimators = pytest.importorskip("art.estimators.classification")
    classifier = estimators.PyTorchClassifier(
        model=defended,
        loss=nn.CrossEntropyLoss(),
        input_shape=(3, 32, 32),
        nb_classes=10,
        clip_values=(0.0, 1.0),
        device_type="cpu",
    )
    x, y = photos.images(0, 2), photos.labels[:2]
    scores = classifier.predict(x.numpy())
    np.testing.assert_allclose(scores, defended(x).detach().numpy(), atol=1e-5)
    gradient = classifier.loss_gradient(x.numpy(), np.eye(10)[y.numpy()])
    leaf = x.clone().requires_grad_()
    loss = nn.functional.cross_entropy(defended(leaf), y)
    (expected,) = torch.autograd.grad(loss, leaf)
    np.testing.assert_allclose(gradient, expected.numpy(), atol=1e-6)
