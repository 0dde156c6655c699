"""What the product knows of a model beside its weights."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import nn

from bandlimiter.models.card import Card
from bandlimiter.tensors import Normalise

# The paper's radii hold in the input space of its networks, normalised with ImageNet's std.
_PAPER_STD = (0.229, 0.224, 0.225)
_PAPER_RADIUS = {"cifar10": 6.0, "imagenet": 30.0}


@dataclass(frozen=True)
class Classifier:
    """A model that takes pixels, with what is needed to use it.

    Attributes
    ----------
    name
        What it was asked for as.
    module
        [N, C, H, W] pixels in [0, 1] -> logits [N, classes]; in eval mode.
    input_size
        Height and width that it was made for; None where any will do or nobody said. Of a
        user's own module what it states itself, see `bandlimiter.models.inputs.stated_size`.
    paper_data
        ``"cifar10"`` or ``"imagenet"`` where the paper's figures for that data are the ones
        to compare with; None where it has none.
    paper_radius
        The paper's radius for that data, converted to this model's normalised space so
        that it is as long in pixels as the paper's.
    class_names
        One for each output, where they are known.
    weights
        The name of the file that they were loaded from; None where none was given.
    weights_key
        Which part of a weights file was loaded, see `load_weights`; None where none was given.
    card
        Of a network that was hardened under noise: sigma, recipe and the rest; else None.
    seen
        [N] int64 digests of the images that such a network was trained on; else None.
    """

    name: str
    module: nn.Module
    input_size: int | None = None
    paper_data: str | None = None
    paper_radius: float | None = None
    class_names: tuple[str, ...] | None = None
    weights: str | None = None
    weights_key: str | None = None
    card: Card | None = None
    seen: NDArray[np.int64] | None = field(default=None, compare=False, repr=False)


def normalised(network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> nn.Module:
    """Put the normaliser before ``network``, as a layer, in eval mode."""
    return nn.Sequential(Normalise(mean, std), network).eval()


def imagenet_classifier(
    name: str,
    network: nn.Module,
    mean: Sequence[float],
    std: Sequence[float],
    input_size: int,
    class_names: Sequence[str] | None = None,
) -> Classifier:
    """A classifier of ImageNet's 1,000 classes, with the paper's ImageNet radius."""
    return Classifier(
        name,
        normalised(network, mean, std),
        input_size=input_size,
        paper_data="imagenet",
        paper_radius=paper_radius("imagenet", std),
        class_names=None if class_names is None else tuple(class_names),
    )


def paper_radius(data: str, std: Sequence[float]) -> float:
    """Convert the paper's radius for ``"cifar10"`` or ``"imagenet"`` to another normaliser.

    An offset of length r in a space normalised with ``std`` is r * rms(std) long in
    pixels, so r scales by the ratio of the two: 30 becomes about 13.5 at std 0.502.

    Examples
    --------
    >>> round(paper_radius("imagenet", [0.502]), 2)
    13.51
    >>> paper_radius("cifar10", [0.229, 0.224, 0.225])
    6.0
    """
    return _PAPER_RADIUS[data] * (_rms(_PAPER_STD) / _rms(std))


def _rms(values: Sequence[float]) -> float:
    return math.sqrt(sum(value * value for value in values) / len(values))
