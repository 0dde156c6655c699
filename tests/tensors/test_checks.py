import pytest
import torch

from bandlimiter.errors import ConfigurationError, InputError
from bandlimiter.tensors import (
    Normalise,
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
        (torch.tensor([[-0.5, 0.5]]), "values from -0.5"),
    ],
)
def test_bad_images_are_value_errors(images, message):
    with pytest.raises(ValueError, match=message):
        require_images(images)


def test_good_images_pass():
    require_images(torch.tensor([[0.0, 1.0]]))


def test_infinite_is_not_nan():
    require_no_nan(torch.tensor([-torch.inf]), "logits")


@pytest.mark.parametrize(
    ("labels", "message"),
    [([0, 10], "from 0 to 9"), ([-1, 0], "from 0 to 9"), ([0], "expected 2 labels")],
)
def test_bad_labels_are_value_errors(labels, message):
    with pytest.raises(InputError, match=message):
        require_labels(torch.tensor(labels), 2, 10)


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
