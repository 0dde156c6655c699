import numpy as np
import pytest
import torch

from bandlimiter.errors import ConfigurationError, InputError
from bandlimiter.tensors import (
    Normalise,
    as_labels,
    find_normaliser,
    require_images,
    require_labels,
    require_no_nan,
    resolve_device,
)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(0, 3, 2, 2), "at least one image"),
        (torch.zeros(1, 3, 2, 2, dtype=torch.uint8), "floating point"),
        (torch.full((1, 3), float("nan")), "without NaN"),
        (torch.tensor([[0.0, 255.0]]), "values from 0 to 255"),
        (torch.tensor([[-0.5, 0.5]]), "values from -0.5 to 0.5, 1 of 2 outside, the first in"),
        (torch.tensor([[0.0], [1.00001]]), r"to 1\.0000\d+, 1 of 2 outside, the first in image 1"),
        (torch.tensor([[-1e-6, 1.0]]), r"from -(1e-06|9.99\d+e-07) to 1,"),
        (torch.tensor([[0.0, torch.inf]]), "to inf, 1 of 2 outside"),
        (torch.tensor([[1.02]], dtype=torch.bfloat16), r"to 1\.0234375"),
        (torch.tensor([[1 + 1e-6]], dtype=torch.float64), r"to 1\.000001"),
    ],
)
def test_bad_images_are_value_errors(images, message):
    with pytest.raises(ValueError, match=message):
        require_images(images)


def test_good_images_pass_as_they_are():
    images = torch.tensor([[0.0, 1.0]])
    assert require_images(images) is images


def test_what_the_caller_has_is_never_changed():
    images = torch.tensor([[1 + 2**-23, -(2**-24), 0.5]])
    before = images.clone()
    assert require_images(images).tolist() == [[1.0, 0.0, 0.5]]
    assert torch.equal(images, before)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_one_rounding_beyond_the_range_is_clipped(kind):
    above = torch.nextafter(torch.ones(1, dtype=kind), torch.full((1,), 2.0, dtype=kind))
    below = 1 - above  # as large as a rounding of numbers around 1
    assert require_images(torch.stack([above, below])).flatten().tolist() == [1, 0]


def test_a_normalised_image_comes_back_within_the_range():
    """Every byte, through the normalisers of ImageNet and CIFAR-10 and back in float32."""
    pixels = torch.arange(256).view(-1, 1) / 255
    for mean, std in ((0.485, 0.229), (0.406, 0.225), (0.4914, 0.2023), (0.5, 0.5), (0.1307, 0.3)):
        back = (pixels - mean) / std * std + mean
        found = require_images(back)
        assert found.min() >= 0
        assert found.max() <= 1
        torch.testing.assert_close(found, pixels, atol=5e-7, rtol=0)  # four roundings


def test_infinite_is_not_nan():
    require_no_nan(torch.tensor([-torch.inf]), "logits")


@pytest.mark.parametrize(
    ("labels", "message"),
    [([0, 10], "from 0 to 9"), ([-1, 0], "from 0 to 9"), ([0], "expected 2 labels")],
)
def test_labels_out_of_range_are_value_errors(labels, message):
    with pytest.raises(InputError, match=message):
        require_labels(torch.tensor(labels), 2, 10)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0.0, 1.5], "got 1.5 among"),
        ([0.0, torch.nan], "got nan"),
        ([torch.inf, 1.0], "got inf"),
        ([True, False], "torch.bool; take .long"),
        ([1j, 0j], "complex64"),
        ([[0, 1], [1, 0]], r"shape \(2, 2\); of one-hot rows take .argmax"),
        (1, r"shape \(\)"),
        (["cat", "dog"], "whole numbers"),
        ([[0], [1, 2]], "whole numbers"),
        (None, "whole numbers"),
    ],
)
def test_what_is_no_whole_number_is_no_label(labels, message):
    with pytest.raises(InputError, match=message) as caught:
        as_labels(labels)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "labels",
    [
        [3, 0],
        (3.0, 0.0),
        np.array([3, 0], np.uint8),
        np.array([3, 0], np.uint16),
        np.array([3.0, 0.0]),
        torch.tensor([3, 0], dtype=torch.float16),
        torch.tensor([3, 0], dtype=torch.int32),
    ],
)
def test_whole_numbers_of_any_kind_are_labels(labels):
    assert require_labels(labels, 2, 4).tolist() == [3, 0]
    assert as_labels(labels).dtype == torch.int64


@pytest.mark.parametrize(
    ("mean", "std"), [([0.5], [0.0]), ([0.5], [-1.0]), ([0.5, 0.5], [1.0]), ([], [])]
)
def test_a_normaliser_needs_positive_stds(mean, std):
    with pytest.raises(ConfigurationError):
        Normalise(mean, std)


@pytest.mark.parametrize("shape", [(2, 1, 4, 4), (2, 4, 4, 3), (4, 4)])
def test_a_normaliser_does_not_broadcast_channels(shape):
    with pytest.raises(InputError, match="3 channels"):
        Normalise([0.5] * 3, [0.2] * 3)(torch.zeros(shape))


def test_the_one_normaliser_is_found():
    layer = Normalise([0.5], [0.2])
    assert find_normaliser(torch.nn.Sequential(layer, torch.nn.Flatten())) is layer
    assert find_normaliser(torch.nn.Flatten()) is None
    assert find_normaliser(torch.nn.Sequential(layer, Normalise([0.5], [0.2]))) is None


def test_devices():
    assert resolve_device("cpu").type == "cpu"
    for name in ("abacus", "meta", "cuda:x", "cuda:", "mps", "cpu:0"):
        with pytest.raises(ConfigurationError, match="auto, cpu, cuda"):
            resolve_device(name)
    with pytest.raises(ConfigurationError, match="found"):
        resolve_device("cuda:99")
    if not torch.cuda.is_available():
        assert resolve_device("auto").type == "cpu"
        with pytest.raises(ConfigurationError, match="use cpu"):
            resolve_device("cuda")
