"""Baselines of the average: what they compute, bit by bit, and what attackers can get from them."""

import copy

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from bandlimiter.attacks import AttackedModel, build_attack
from bandlimiter.defence import PostAverage
from bandlimiter.defence.baselines import BASELINES, BitDepth, Jpeg, OneNeighbour, build_baseline
from bandlimiter.errors import ConfigurationError, InputError


class See(nn.Module):
    """Returns the pixels that it is given as logits, so that tests see what a model sees."""

    def forward(self, x):
        return x.flatten(1)


@pytest.fixture
def defence(sample):
    return PostAverage(sample.module, 6, directions=1, seed=3)


def test_the_neighbour_is_a_third_of_the_radius_away_in_normalised_space(sample, photos):
    x = photos.images(0, 3)
    baseline = OneNeighbour(sample.module, 6)
    normalise = sample.module[0]
    offset = (normalise(baseline.neighbour(x).double()) - normalise(x.double())).flatten(1)
    # x + offset rounds to float32 (6e-8), 3,072 times, and is divided by a std of 0.2.
    torch.testing.assert_close(
        offset.norm(dim=1), torch.full((3,), 2.0).double(), rtol=1e-5, atol=0
    )
    torch.testing.assert_close(offset[1:], offset[:1].expand(2, -1), rtol=0, atol=1e-6)
    torch.testing.assert_close(baseline(x), sample.module(baseline.neighbour(x)), rtol=0, atol=0)


def test_one_neighbour_is_a_draw_by_seed_and_its_own(sample, photos):
    x = photos.images(0, 1)
    points = [OneNeighbour(sample.module, 6, seed=seed).neighbour(x) - x for seed in (0, 0, 1)]
    torch.testing.assert_close(points[0], points[1], rtol=0, atol=0)
    drawn = PostAverage(sample.module, 6, directions=3, seed=0).neighbours(x[0]) - x
    for other in (points[2], *drawn[1:].unsqueeze(1)):
        cosine = torch.cosine_similarity(points[0].flatten(), other.flatten(), dim=0)
        # Independent directions in 3,072 dimensions: standard deviation 0.018.
        assert abs(float(cosine)) < 0.1


def test_one_neighbour_without_a_radius_is_the_model(sample, photos):
    x = photos.images(0, 4)
    torch.testing.assert_close(OneNeighbour(sample.module, 0)(x), sample.module(x), rtol=0, atol=0)


def test_one_neighbour_keeps_its_draw_through_checkpoints_and_casts(mlp):
    baseline = OneNeighbour(mlp, 0.5, scale=1.0, seed=7)
    x = torch.rand(3, 6, dtype=torch.float64)
    expected = baseline(x)
    other = OneNeighbour(mlp, 0.1, scale=1.0, seed=0)
    other.load_state_dict(baseline.state_dict())
    torch.testing.assert_close(other(x), expected, rtol=0, atol=0)
    assert baseline.float().offsets.drawn.dtype == torch.float32
    assert baseline.double().offsets.drawn.dtype == torch.float32


def test_scale_and_settings_are_refused_as_the_average_refuses_them(mlp):
    with pytest.raises(ConfigurationError, match="Normalise"):
        OneNeighbour(mlp, 1.0)
    with pytest.raises(ConfigurationError, match="radius"):
        OneNeighbour(mlp, -1.0, scale=1.0)
    with pytest.raises(ConfigurationError, match="seed"):
        OneNeighbour(mlp, 1.0, scale=1.0, seed=2**63)
    with pytest.raises(ConfigurationError, match="bits"):
        BitDepth(mlp, bits=0)
    with pytest.raises(ConfigurationError, match="quality"):
        Jpeg(mlp, quality=96)


@pytest.mark.parametrize("bits", range(1, 9))
def test_bit_depth_takes_the_nearest_of_its_levels(bits):
    x = torch.rand(1, 1, 40, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    seen = BitDepth(See(), bits=bits)(x).reshape(x.shape)
    levels = np.linspace(0, 1, 2**bits)
    nearest = levels[np.abs(x.numpy()[..., None] - levels).argmin(-1)]
    np.testing.assert_allclose(seen, nearest, rtol=0, atol=1e-15)  # one rounding of a division


def test_eight_bits_leave_a_stored_image_alone(photos):
    x = photos.images(0, 2)
    torch.testing.assert_close(BitDepth(See(), bits=8).squeeze(x), x, rtol=0, atol=0)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("quality", [10, 75])
def test_jpeg_is_what_a_file_would_hold(photos, tmp_path, channels, quality):
    x = photos.images(0, 2)[:, :channels, :, :28]  # not square: axes must not be exchanged
    seen = Jpeg(See(), quality=quality)(x).reshape(x.shape)
    for image, found in zip(x, seen, strict=True):
        stored = (image.numpy() * 255).round().astype(np.uint8).transpose(1, 2, 0)
        path = tmp_path / "image.jpg"
        Image.fromarray(stored.squeeze()).save(path, quality=quality)
        expected = np.array(Image.open(path)).reshape(stored.shape).transpose(2, 0, 1)
        np.testing.assert_array_equal(np.round(found.numpy() * 255), expected)
    assert 0 < float((seen - x).abs().mean()) < 0.06  # lossy, and still the picture


def test_jpeg_refuses_what_no_file_holds():
    for shape in [(2, 4, 8, 8), (2, 3, 8), (2, 12)]:
        with pytest.raises(InputError, match="1 or 3 channels"):
            Jpeg(See())(torch.rand(shape))


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_refuse_what_the_average_refuses(defence, name):
    baseline = build_baseline(name, defence)
    for x in (torch.zeros(0, 3, 32, 32), torch.full((1, 3, 32, 32), torch.nan)):
        with pytest.raises(InputError):
            baseline(x)
    with pytest.raises(InputError, match="divide 8-bit pixels by 255"):
        baseline(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))


@pytest.mark.parametrize("squeezed", [BitDepth, Jpeg])
def test_squeezing_is_exact_forward_and_the_identity_backward(photos, squeezed):
    x = photos.images(0, 2).double().requires_grad_()
    baseline = squeezed(See())
    weights = torch.rand(2, 3072, dtype=torch.float64)
    logits = baseline(x)
    torch.testing.assert_close(logits, baseline.squeeze(x).flatten(1), rtol=0, atol=0)
    (gradient,) = torch.autograd.grad((weights * logits).sum(), x)
    torch.testing.assert_close(gradient.flatten(1), weights, rtol=0, atol=0)


@pytest.mark.parametrize("squeezed", [BitDepth, Jpeg])
def test_the_gradient_is_the_model_s_at_the_squeezed_image(sample, photos, squeezed):
    baseline = squeezed(sample.module)
    x = photos.images(0, 2).requires_grad_()
    (found,) = torch.autograd.grad(baseline(x).logsumexp(1).sum(), x)
    at = baseline.squeeze(x).requires_grad_()
    (expected,) = torch.autograd.grad(sample.module(at).logsumexp(1).sum(), at)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_an_attacker_who_knows_the_squeezing_breaks_it(sample, photos):
    """Straight-through gradients serve: the budget of 8/255 leaves nothing of 24 images."""
    x, y = photos.images(0, 24), photos.labels[:24]
    for baseline in (BitDepth(sample.module), Jpeg(sample.module)):
        target = AttackedModel(baseline)
        kept = target.predict(x) == y
        result = build_attack("pgd", "fixed", quick=True)(target, x[kept], y[kept], epsilon=8 / 255)
        assert float(kept.float().mean()) > 0.7
        assert float(result.within.float().mean()) > 0.9


@pytest.mark.parametrize("name", ["gaussian", "ball"])
def test_clouds_have_offsets_as_long_as_the_average_s(sample, photos, name):
    defence = PostAverage(
        sample.module, 3.5, directions=2, vote="logits", seed=5, randomness="fresh"
    )
    baseline = build_baseline(name, defence)
    changed = {"sampler", "radius", "radius_pixels"}
    assert {
        key for key, value in baseline.settings.items() if value != defence.settings[key]
    } == changed
    assert baseline.settings["sampler"] == name
    x = photos.images(0, 1)[0]

    def mean_square(module):
        offsets = (module.neighbours(x) - x) / sample.module[0].std
        return float(offsets.flatten(1).double().square().sum(dim=1).mean())

    # 13 draws of n = 3,072 coordinates, each length within 1 / sqrt(2 n) = 1.3 % (Gaussian)
    # or 1 / n (ball) of the radius; the average's own lengths are no matter of chance.
    assert mean_square(baseline) == pytest.approx(mean_square(defence), rel=0.02)


def test_baselines_are_made_of_the_given_average(defence, photos):
    x = photos.images(0, 2)
    for name in BASELINES:
        baseline = build_baseline(name, defence)
        assert baseline.model is defence.model
        assert baseline.evaluations == (7 if name in ("gaussian", "ball") else 1)
        assert baseline(x).shape == (2, 10)
        assert not baseline.model.training
        baseline.eval()
        torch.testing.assert_close(baseline(x), build_baseline(name, defence)(x), rtol=0, atol=0)
    one = build_baseline("one-neighbour", defence)
    assert (one.radius, one.seed) == (6, 3)
    torch.testing.assert_close(one.offsets.scale, defence.scale, rtol=0, atol=0)


def test_an_answer_does_not_depend_on_its_batch(defence, photos):
    x = photos.images(0, 5)
    for name in BASELINES:
        baseline = build_baseline(name, defence)
        together = baseline(x)
        apart = torch.cat([baseline(one[None]) for one in x.flip(0)]).flip(0)
        # Sums of a convolution in float32 may be ordered otherwise in another batch size.
        torch.testing.assert_close(together, apart, rtol=1e-4, atol=1e-4)


def test_unknown_baselines_are_listed(defence):
    with pytest.raises(ConfigurationError, match="one-neighbour, gaussian, ball, bit-depth, jpeg"):
        build_baseline("median", defence)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_baselines_on_a_gpu(sample, photos):
    x = photos.images(0, 4)
    here = PostAverage(sample.module, 6, directions=1)
    there = PostAverage(copy.deepcopy(sample.module), 6, directions=1).cuda()
    for name in BASELINES:
        expected = build_baseline(name, here)(x)
        found = build_baseline(name, there)(x.cuda())
        # TF32 convolutions round to ten bits.
        torch.testing.assert_close(found.cpu(), expected, rtol=2e-2, atol=2e-2)
