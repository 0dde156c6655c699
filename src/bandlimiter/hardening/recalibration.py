"""BatchNorm statistics under noise: the part of hardening that needs no labels and no training."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from bandlimiter.data import ImageSet, ImagesLike, as_images, image_digests
from bandlimiter.errors import ConfigurationError
from bandlimiter.evaluation.fingerprints import of_images
from bandlimiter.evaluation.values import hash_of
from bandlimiter.hardening.batches import split
from bandlimiter.hardening.checkpoint import COLUMNS, Row, RunFolder
from bandlimiter.hardening.noise import add_noise, require_given
from bandlimiter.hardening.noisy_accuracy import measure
from bandlimiter.hardening.result import Hardened, describe, store
from bandlimiter.models import Classifier
from bandlimiter.tensors import (
    copied,
    generator,
    is_number,
    model_logits,
    place_of,
    require_module,
    set_training,
)

IMAGES = 5000
"""As many as give statistics whose own error no longer shows."""


def recalibrate(
    model: nn.Module,
    images: ImagesLike | torch.Tensor,
    sigma: float,
    *,
    most: int = IMAGES,
    seed: int = 0,
) -> nn.Module:
    """Return a copy of a classifier with BatchNorm statistics of noisy images.

    A trained network's BatchNorm layers scale by what clean images looked like inside it; under
    noise they are off, and much of what a network loses under noise it loses there. Their running
    mean and variance are computed anew: cumulative averages over noisy images, in batches of up
    to 250. The images are drawn at random, so that their order (by class, in folders) does not
    matter. No weight changes and no label is looked at.

    What it cannot do: networks without BatchNorm have nothing to recompute (they are refused), and
    what the weights themselves have not learnt stays unlearnt, for which there is `harden`.

    Parameters
    ----------
    model
        Takes [N, ...]; not changed.
    images
        Training images, as `bandlimiter.data.as_images` takes them, or a tensor [N, ...] without
        labels; pixels in [0, 1].
    sigma
        Standard deviation of the noise, per pixel in [0, 1], before the normaliser; above 0.
    most
        So many images are used at most, from 2 on.
    seed
        Of noise and choice.

    Returns
    -------
    nn.Module
        The copy, in eval mode.

    Raises
    ------
    ConfigurationError
        (a ValueError) for a model without BatchNorm statistics, a sigma out of range, or fewer
        than two images.
    InputError
        (a ValueError) for images that are none.

    Examples
    --------
    >>> import torch
    >>> from bandlimiter.hardening import recalibrate
    >>> layer = torch.nn.BatchNorm1d(1)
    >>> model = torch.nn.Sequential(layer, torch.nn.Linear(1, 2)).eval()
    >>> noisy = recalibrate(model, torch.full((1000, 1), 0.5), sigma=0.6)
    >>> round(noisy[0].running_var.item(), 1), layer.running_var.item()
    (0.4, 1.0)
    """
    require_sigma(sigma)
    require_module(model)
    given = _unlabelled(images)
    if min(most, len(given)) < 2:
        raise ConfigurationError(
            f"expected at least two images to recalibrate on, got {min(most, len(given))}"
        )
    twin = copied(model, frozen=False)
    set_training(twin, mode=False)
    compute_statistics(twin, given, sigma, seed, most)
    return twin


def recalibrate_into(
    folder: Path, classifier: Classifier, images: ImageSet, sigma: float, *, seed: int = 0
) -> Hardened:
    """`recalibrate`, measured on held-out images and written as a folder that is a model.

    Parameters
    ----------
    folder
        New, empty, or one that this has written before.
    classifier, images, sigma, seed
        See `recalibrate`; a part of the images is held out as in `harden`, whose labels tell what
        was gained.

    Raises
    ------
    ConfigurationError, InputError
        As `recalibrate`; also for a folder that holds something else.
    """
    began = time.monotonic()
    require_sigma(sigma)
    sigma, seed = float(sigma), int(seed)
    settings = {"recipe": "recalibrate", "sigma": sigma, "seed": seed}
    content = of_images(images)
    identity = {**settings, "model": hash_of(classifier.module), "images": content}
    with RunFolder(folder, identity) as own:
        shown, held_out = split(images, seed)
        twin = recalibrate(classifier.module, shown, sigma, seed=seed)
        found = [measure(each, held_out, sigma, seed) for each in (classifier.module, twin)]
        seconds = time.monotonic() - began
        history: list[Row] = [
            {**dict.fromkeys(COLUMNS), "epoch": epoch, "seconds": epoch * seconds, **each._asdict()}
            for epoch, each in enumerate(found)
        ]
        card = describe(
            twin,
            classifier,
            {"name": images.name, **content, "held_out": len(held_out)},
            images.images(0, 1).ndim == 4,
            found=found[-1]._asdict(),
            sigma=sigma,
            recipe={"name": "recalibrate", "images": min(IMAGES, len(shown))},
            seed=seed,
            seconds=seconds,
        )
        own.log(history)
        store(folder, twin, card, image_digests(images), classifier)
    return Hardened(twin, history, card)


def compute_statistics(
    model: nn.Module, images: ImageSet, sigma: float, seed: int, most: int = IMAGES
) -> torch.Tensor:
    """Do to ``model`` itself what `recalibrate` does to a copy; return which images were used."""
    layers = batch_norms(model)
    if not layers:
        raise ConfigurationError(
            "expected a model with BatchNorm layers that keep statistics, found none; use harden "
            "to train it under noise"
        )
    device, dtype = place_of(model)
    parts = _equal_parts(len(images), most, images.together, seed)
    with torch.no_grad(), _collecting(layers):
        for number, index in enumerate(parts):
            x = require_given(images.take(index).images(0, len(index)).to(device, dtype))
            model_logits(model, add_noise(x, sigma, seed, "recalibrate", number), check=False)
    for layer in layers:
        if not all(value.isfinite().all() for value in layer.buffers()):
            raise ConfigurationError(
                f"expected finite statistics, those of a {type(layer).__name__} are not; the model "
                "overflows under this noise"
            )
    return parts.flatten()


def _equal_parts(count: int, most: int, together: int, seed: int) -> torch.Tensor:
    """Return images by number, at random: [batches, n], as each batch's mean counts alike."""
    order = torch.randperm(count, generator=generator(seed, "recalibrate"))[:most]
    batches = max(1, min(-(-len(order) // together), len(order) // 2))
    size = len(order) // batches
    return order[: batches * size].view(batches, size)


def batch_norms(model: nn.Module) -> list[_BatchNorm]:
    """Return the layers with running statistics that depend on what came."""
    return [
        part
        for part in model.modules()
        if isinstance(part, _BatchNorm) and part.running_mean is not None
    ]


def require_sigma(sigma: float) -> None:
    """Refuse (ConfigurationError) a standard deviation that is no positive finite number."""
    if not is_number(sigma) or not (math.isfinite(sigma) and sigma > 0):
        raise ConfigurationError(
            f"expected sigma above 0, a standard deviation in pixels of [0, 1]; got {sigma!r}"
        )


@contextmanager
def _collecting(layers: list[_BatchNorm]) -> Iterator[None]:
    """Let these layers, and no others such as dropout, collect the mean over all batches."""
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the mean over all batches
        layer.train()
    try:
        yield
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
            layer.eval()


def _unlabelled(images: ImagesLike | torch.Tensor) -> ImageSet:
    if isinstance(images, torch.Tensor):
        return as_images((images, torch.zeros(len(images), dtype=torch.int64)))
    return as_images(images)
