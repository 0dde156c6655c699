"""BatchNorm folded into the layer before it: the same function with fewer passes over memory."""

import copy
import logging

import torch
from torch import nn

from bandlimiter.acceleration.batchnorm_pairs import close, foldable_pairs, fused
from bandlimiter.tensors import model_logits

logger = logging.getLogger(__name__)

# On how many images a fold is checked: enough for paths that are not rare, and 0.1 s more
# for ResNet-20. 2**20 numbers are 6 images of 224 x 224.
_MOST_IMAGES = 16
_MOST_ELEMENTS = 2**20


def folded(network: nn.Module, images: torch.Tensor) -> nn.Module:
    """Return a float32 copy of ``network`` with BatchNorms folded where that changes nothing.

    All arithmetic is in float64, and rounded to float32 once. The whole folded network is
    run in float64 against the unfolded one, on up to 16 images one by one; where they differ
    by more than rounding, or where the network does not run in float64, nothing is folded and
    a line is logged. A network that branches on values, and takes another path on other images
    than on all of these, may be folded wrongly for those.

    Parameters
    ----------
    network
        In eval mode; not changed.
    images
        [N, ...] pixels; the first 16 are looked at, fewer where they are large.
    """
    double = copy.deepcopy(network).double()
    try:
        count = fold_in_place(double, images[: _checked(images)].double())
    # A network may fail in float64 in any way that its author thought of.
    except Exception as error:  # noqa: BLE001
        logger.info("batch normalisation is not folded: %s", error)
        return copy.deepcopy(network).float()
    logger.info("folded %d batch normalisations", count)
    return double.float()


def replace(network: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Put ``new`` wherever ``old`` is a child."""
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if child is old:
                setattr(parent, name, new)


def fold_in_place(network: nn.Module, images: torch.Tensor) -> int:
    """Fold every pair of ``network``, check it as a whole, and return how many there were.

    Parameters
    ----------
    network
        In eval mode, float64; changed.
    images
        [N, ...] float64 pixels: pairs are found on the first two, which a BatchNorm treats
        as any others, and the check is on each.

    Raises
    ------
    ArithmeticError
        If the folded network differs from what it was by more than rounding.
    """
    expected = _one_by_one(network, images)
    pairs = foldable_pairs(network, images[:2])
    for layer, norm in pairs:
        one = fused(layer, norm)
        layer.weight, layer.bias = one.weight, one.bias
        replace(network, norm, nn.Identity())
    if not close(_one_by_one(network, images), expected):
        raise ArithmeticError("the folded network differs from the original")
    return len(pairs)


def _checked(images: torch.Tensor) -> int:
    """Return how many images the check runs on."""
    return max(2, min(_MOST_IMAGES, _MOST_ELEMENTS // max(1, images[0].numel())))


def _one_by_one(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Return the logits of each image by itself, which takes its own path."""
    with torch.no_grad():
        return torch.cat([model_logits(network, image) for image in torch.split(images, 1)])
