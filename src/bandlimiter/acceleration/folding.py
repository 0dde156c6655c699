"""BatchNorm folded into the layer before it: the same function with fewer passes over memory."""

import copy
import logging

import torch
from torch import nn

from bandlimiter.acceleration.watching import close, foldable_pairs, fused
from bandlimiter.tensors import logits_of

logger = logging.getLogger(__name__)


def folded(network: nn.Module, images: torch.Tensor) -> nn.Module:
    """Return a float32 copy of ``network`` with BatchNorms folded where that changes nothing.

    All arithmetic is in float64, and rounded to float32 once. The whole folded network is
    run in float64 against the unfolded one; where they differ by more than rounding, or
    where the network does not run in float64, nothing is folded and a line is logged.

    Parameters
    ----------
    network
        In eval mode; not changed.
    images
        [N, ...] pixels, a few.
    """
    double = copy.deepcopy(network).double()
    try:
        count = fold_in_place(double, images.double())
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
        [N, ...] float64 pixels.

    Raises
    ------
    ArithmeticError
        If the folded network differs from what it was by more than rounding.
    """
    pairs, output = foldable_pairs(network, images)
    expected = logits_of(output)
    for layer, norm in pairs:
        one = fused(layer, norm)
        layer.weight, layer.bias = one.weight, one.bias
        replace(network, norm, nn.Identity())
    with torch.no_grad():
        if not close(logits_of(network(images)), expected):
            raise ArithmeticError("the folded network differs from the original")
    return len(pairs)
