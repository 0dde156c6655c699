"""ART's face of a defended model: gradients by autograd and by differences, ART's attacks."""

import copy
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bandlimiter.defence import PostAverage, certify
from bandlimiter.errors import ConfigurationError, InputError, NoGradientError

pytest.importorskip("art", reason="needs pip install 'bandlimiter[art]'")

from art.attacks.evasion import (
    AutoProjectedGradientDescent,
    DeepFool,
    ProjectedGradientDescent,
)
from art.estimators.classification import PyTorchClassifier

from bandlimiter.adapters.art import PostAverageClassifier

SHAPE = (3, 32, 32)
EPSILON = 8 / 255


@pytest.fixture(scope="module")
def double(sample):
    """The packaged model in float64, defended, and ART's face of it."""
    defence = PostAverage(copy.deepcopy(sample.module).double(), 6, directions=1)
    return defence, PostAverageClassifier(defence, SHAPE)


@pytest.fixture(scope="module")
def few(photos):
    """Two images in float64."""
    return photos.images(0, 2).double(), photos.labels[:2]


@pytest.fixture(scope="module")
def attacked(sample, photos):
    """Images that a defended model classifies correctly."""
    defence = PostAverage(sample.module, 6, directions=1)
    x, y = photos.images(0, 6), photos.labels[:6]
    kept = defence.predict(x).labels == y
    assert int(kept.sum()) >= 4
    return PostAverageClassifier(defence, SHAPE), x[kept].numpy(), y[kept].numpy()


def test_what_can_be_inferred_is(double):
    defence, face = double
    assert (face.nb_classes, face.input_shape) == (10, SHAPE)
    assert face.device == torch.device("cpu")
    assert face.model is defence
    assert isinstance(face, PyTorchClassifier)
    assert tuple(face.clip_values) == (0, 1)


@pytest.mark.parametrize("batch_size", [1, 128])
def test_predictions_are_the_defence_s(double, few, batch_size):
    defence, face = double
    x, _ = few
    found = face.predict(x.numpy(), batch_size=batch_size)
    assert found.dtype == np.float32
    # Rounded once, from float64 to float32.
    np.testing.assert_allclose(found, defence(x).detach().numpy(), rtol=1e-6)


def test_the_loss_gradient_is_autograd_s(double, few):
    defence, face = double
    x, y = few
    inputs = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(
        F.nll_loss(defence(inputs), y, reduction="sum"), inputs
    )  # scores are log-probabilities already, which F.cross_entropy must leave alone
    one_hot = F.one_hot(y, 10).numpy()
    for labels in (y.numpy(), one_hot, one_hot.astype(np.float32)):
        found = face.loss_gradient(x.numpy(), labels)
        assert found.dtype == np.float64
        # The log-softmax of log-probabilities adds rounding of 1e-16 to values of order one.
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-13)
    from_tensors = face.loss_gradient(x, y)
    np.testing.assert_allclose(from_tensors.numpy(), expected, rtol=1e-10, atol=1e-13)


def test_an_image_s_gradient_does_not_depend_on_its_batch(double, few):
    _, face = double
    x, y = (part.numpy() for part in few)
    together = face.loss_gradient(x, y)
    apart = np.concatenate([face.loss_gradient(x[i : i + 1], y[i : i + 1]) for i in range(2)])
    np.testing.assert_allclose(together, apart, rtol=1e-9, atol=1e-13)  # float64 sums reordered


def test_the_loss_gradient_of_probabilities(double, few):
    defence, face = double
    x, _ = few
    p = torch.rand(2, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    p /= p.sum(dim=1, keepdim=True)
    inputs = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(-(p * defence(inputs)).sum(), inputs)
    found = face.loss_gradient(x.numpy(), p.numpy())
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_class_gradients_are_finite_differences(double, few):
    """Along a direction in pixel space: the slope of all ten scores at once."""
    defence, face = double
    x, _ = few
    gradients = face.class_gradient(x.numpy())
    assert gradients.shape == (2, 10, *SHAPE)
    rng = torch.Generator().manual_seed(1)
    v = torch.randn(x.shape, generator=rng, dtype=torch.float64)
    v /= v.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    h = 1e-7  # short: a ResNet has some 10^4 kinks along a unit of length, so that here is none
    with torch.no_grad():
        slopes = (defence(x + h * v) - defence(x - h * v)) / (2 * h)
    found = np.einsum("nkchw,nchw->nk", gradients, v.numpy())
    # Scores of about ten round to 2e-15, the difference of two by 2h to 1e-8.
    np.testing.assert_allclose(found, slopes, rtol=1e-6, atol=1e-7)


def test_class_gradients_by_label(double, few):
    _, face = double
    x = few[0].numpy()
    everything = face.class_gradient(x)
    exact = {"rtol": 1e-12, "atol": 1e-15}  # the same passes, summed in the same order
    np.testing.assert_allclose(face.class_gradient(x, label=4), everything[:, 4:5], **exact)
    for label in ([1, 7], np.array([1, 7])):
        found = face.class_gradient(x, label=label)
        np.testing.assert_allclose(found[:, 0], everything[[0, 1], [1, 7]], **exact)


def test_parameters_are_left_alone(photos):
    from bandlimiter.models import load_model

    module = load_model("sample").module  # parameters that ask for gradients
    face = PostAverageClassifier(PostAverage(module, 6, directions=1), SHAPE)
    x = photos.images(0, 1).numpy()
    face.loss_gradient(x, np.array([3]))
    face.class_gradient(x, label=0)
    assert all(parameter.grad is None for parameter in module.parameters())


def test_float64_goes_to_a_float32_model(attacked):
    """ART itself asks models with numpy's float64."""
    face, x, y = attacked
    np.testing.assert_array_equal(face.predict(x.astype(np.float64)), face.predict(x))
    found = face.loss_gradient(x.astype(np.float64), y)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, face.loss_gradient(x, y), rtol=1e-6, atol=1e-9)
    assert face.compute_loss(x.astype(np.float64), y).shape == y.shape


def test_the_loss_is_minus_the_log_of_the_mean_probability(attacked):
    face, x, y = attacked
    p = face.defence.predict(torch.from_numpy(x)).probabilities.numpy()
    expected = -np.log(p[np.arange(len(y)), y])
    np.testing.assert_allclose(face.compute_loss(x, y), expected, rtol=1e-4, atol=1e-6)


def test_deepfool_breaks_it(attacked):
    """ART's randomized smoothing refuses DeepFool, for want of class gradients."""
    face, x, y = attacked
    x, y = x[:4], y[:4]
    # Of overshoot 5 %: ART's 1e-6 ends on the boundary, where float32 decides. Of classes all:
    # with fewer, it leaves some images of the plain model as they are, too.
    attack = DeepFool(face, max_iter=5, epsilon=0.05, nb_grads=10, batch_size=4, verbose=False)
    broken = attack.generate(x)
    assert (face.predict(broken).argmax(1) != y).all()
    lengths = np.linalg.norm((broken - x).reshape(len(x), -1), axis=1)
    assert lengths.max() < 1  # in pixels, where the images' own norms are about 28


def test_projected_gradient_descent_breaks_it(attacked):
    face, x, y = attacked
    attack = ProjectedGradientDescent(
        face, eps=EPSILON, eps_step=2 / 255, max_iter=10, verbose=False
    )
    broken = attack.generate(x, y)
    assert np.mean(face.predict(broken).argmax(1) == y) <= 0.2
    assert np.abs(broken - x).max() <= EPSILON + 1e-6
    assert broken.min() >= 0
    assert broken.max() <= 1


@pytest.mark.parametrize("loss", [None, "cross_entropy", "difference_logits_ratio"])
def test_auto_pgd_breaks_it(attacked, loss):
    face, x, y = attacked
    attack = AutoProjectedGradientDescent(
        face,
        eps=EPSILON,
        eps_step=2 * EPSILON,
        max_iter=5,
        nb_random_init=1,
        loss_type=loss,
        verbose=False,
    )
    broken = attack.generate(x, y)
    assert np.mean(face.predict(broken).argmax(1) == y) <= 0.2
    assert np.abs(broken - x).max() <= EPSILON + 1e-6


def test_draws_average_gradients_over_fresh_draws(sample, few):
    x, y = few
    model = copy.deepcopy(sample.module).double()

    def fresh():
        return PostAverage(model, 6, directions=1, randomness="fresh")

    found = PostAverageClassifier(fresh(), SHAPE, draws=2).loss_gradient(x.numpy(), y.numpy())
    defence, total = fresh(), 0
    for _ in range(2):  # two images a call: draws 0 and 1, then 2 and 3
        inputs = x.clone().requires_grad_()
        loss = F.nll_loss(defence(inputs), y, reduction="sum")
        total = total + torch.autograd.grad(loss, inputs)[0]
    np.testing.assert_allclose(found, total / 2, rtol=1e-9, atol=1e-13)
    one = PostAverageClassifier(fresh(), SHAPE).loss_gradient(x.numpy(), y.numpy())
    assert not np.allclose(found, one)


def test_fresh_draws_answer_as_the_defence_would(sample, photos):
    x = photos.images(0, 4)
    defences = [PostAverage(sample.module, 6, directions=1, randomness="fresh") for _ in range(2)]
    face = PostAverageClassifier(defences[0], SHAPE)  # asking for the classes spends no draw
    expected = defences[1](x)
    # Batches of another size: float32 sums of convolutions in another order.
    np.testing.assert_allclose(
        face.predict(x.numpy(), batch_size=3), expected, rtol=1e-4, atol=1e-4
    )


def test_certificates_are_the_defence_s(sample, photos):
    defence = PostAverage(sample.module, sigma=0.02, chunk=100)
    x = photos.images(0, 2)
    keys = ["a", "b"]
    expected = certify(defence, x, samples=200, selection=50, alpha=0.01, keys=keys)
    face = PostAverageClassifier(defence, SHAPE)
    found = face.certify(x.numpy(), 200, 0.01, selection=50, keys=keys)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    assert float(found.radius.max()) > 0


def test_training_mode_is_what_the_call_says(attacked):
    face, x, _ = attacked
    face.defence.train()
    face.predict(x[:1])
    assert not face.defence.model.training


def test_refusals(sample, attacked):
    face, x, y = attacked
    with pytest.raises(ConfigurationError, match="nb_classes=10"):
        PostAverageClassifier(face.defence, SHAPE, 1000)
    with pytest.raises(ConfigurationError, match="draws=1"):
        PostAverageClassifier(face.defence, SHAPE, draws=2)
    with pytest.raises(InputError, match="with 3 channels"):
        PostAverageClassifier(face.defence, (1, 28, 28))
    with pytest.raises(InputError, match=r"expected inputs \[N, 3, 32, 32\]"):
        face.predict(x[:, :, :16])
    with pytest.raises(InputError, match="divide 8-bit pixels by 255"):
        face.predict((x * 255).astype(np.uint8))
    with pytest.raises(InputError, match="divide 8-bit pixels by 255"):
        face.loss_gradient((x * 255).astype(np.uint8), y)
    with pytest.raises(InputError, match="expected labels"):
        face.loss_gradient(x, np.zeros((len(x), 3)))
    with pytest.raises(InputError, match="labels from 0 to 9"):
        face.loss_gradient(x, y + 10)
    with pytest.raises(InputError, match="labels from 0 to 9"):
        face.class_gradient(x, label=-1)
    stepped = PostAverageClassifier(
        PostAverage(sample.module, 6, directions=1, vote="majority"), SHAPE
    )
    with pytest.raises(InputError, match="vote with a gradient, got 'majority'"):
        stepped.loss_gradient(x, y)


@pytest.mark.parametrize("frozen", [True, False])
def test_a_model_without_a_gradient_is_said_to_be_one(mlp, frozen):
    """Whatever its weights want; inside inference_mode there is none either."""

    class Detour(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = mlp

        def forward(self, x):
            return self.net(torch.from_numpy(x.detach().numpy().round(2)))

    x, y = np.full((2, 6), 0.5), np.array([0, 1])
    faces = [
        PostAverageClassifier(PostAverage(model, 0.1, directions=1, scale=1.0).eval(), (6,))
        for model in (Detour().eval().requires_grad_(not frozen), mlp)
    ]
    with pytest.raises(NoGradientError, match="with a gradient"):
        faces[0].loss_gradient(x, y)
    with pytest.raises(NoGradientError, match="with a gradient"):
        faces[0].class_gradient(x)
    with torch.inference_mode(), pytest.raises(ConfigurationError, match="inference_mode"):
        faces[1].loss_gradient(x, y)
    assert all(weight.grad is None for weight in mlp.parameters())


def test_no_place_for_art_s_settings_is_said_in_one_line():
    """ART makes ~/.art when it is imported; /dev/null is no folder, for any user."""
    code = "import bandlimiter.adapters.art"
    environment = {**os.environ, "HOME": "/dev/null"}
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert "LoadError: expected a folder that ART can write its settings to" in run.stderr


def test_without_art_the_extra_is_named():
    code = "import sys; sys.modules['art'] = None; import bandlimiter.adapters.art"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "MissingExtraError" in run.stderr
    assert "bandlimiter[art]" in run.stderr


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_model_stays_on_its_gpu(sample, photos):
    here = PostAverage(sample.module, 6, directions=1)
    there = PostAverage(copy.deepcopy(sample.module), 6, directions=1).cuda()
    x = photos.images(0, 2).numpy()
    face = PostAverageClassifier(there, SHAPE)
    assert face.device.type == "cuda"
    # TF32 convolutions round to ten bits.
    expected = PostAverageClassifier(here, SHAPE).predict(x)
    assert PostAverageClassifier(here, SHAPE).device.type == "cpu"
    np.testing.assert_allclose(face.predict(x), expected, rtol=2e-2, atol=2e-2)
    assert face.class_gradient(x, label=1).shape == (2, 1, *SHAPE)
