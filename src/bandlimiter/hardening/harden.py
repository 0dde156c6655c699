"""Training a classifier under noise for some minutes, and what came of it."""

import math
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from bandlimiter.acceleration.precision import has_bfloat16
from bandlimiter.data import ImageSet, ImagesLike, as_images, image_digests
from bandlimiter.errors import ConfigurationError, InputError
from bandlimiter.evaluation.fingerprints import of_images
from bandlimiter.evaluation.values import hash_of
from bandlimiter.hardening.batches import AUGMENTATIONS, Augment, Batches, resolve_augment, split
from bandlimiter.hardening.checkpoint import RunFolder, read_log
from bandlimiter.hardening.noise import require_given
from bandlimiter.hardening.recalibration import batch_norms, compute_statistics, require_sigma
from bandlimiter.hardening.recipes import Recipe, resolve_recipe
from bandlimiter.hardening.result import Hardened, describe, store
from bandlimiter.hardening.run import Progress, Run
from bandlimiter.hardening.training import Settings, trained_parameters
from bandlimiter.models import Classifier, load_weights
from bandlimiter.models.card import CARD, WEIGHTS, read_card
from bandlimiter.tensors import (
    copied,
    is_number,
    model_logits,
    place_of,
    require_labels,
    require_module,
    set_training,
)

MINUTES = 10.0
RATE, BATCH = 0.05, 128


@torch.inference_mode(False)
@torch.enable_grad()
def harden(
    model: nn.Module | Classifier,
    data: ImagesLike,
    *,
    sigma: float,
    recipe: str | Recipe = "consistency",
    minutes: float | None = None,
    epochs: float | None = None,
    part: str = "all",
    augment: str | Augment | None = "auto",
    rate: float = RATE,
    batch: int = BATCH,
    averaged: bool = True,
    compiled: bool | None = None,
    seed: int = 0,
    out: Path | str | None = None,
    progress: Progress | None = None,
) -> Hardened:
    """Train a copy of a classifier under noise, so that its Gaussian average keeps labels.

    Each step sees fresh noise of standard deviation ``sigma`` on each image, in pixels, before the
    normaliser; the loss is that of the recipe. BatchNorm statistics are recomputed under the noise
    first. A part of ``data`` is held out (1,000 images or a tenth) and chooses the epoch; keep the
    images that you report on out of ``data``. bfloat16 where the processor computes in it.

    Parameters
    ----------
    model
        [N, ...] pixels -> logits, an eager module with its normaliser inside; or a `Classifier`,
        whose name the card keeps, so that ``load_model(out)`` can build it again. Not changed.
    data
        Labelled training images, as `bandlimiter.data.as_images` takes them; pixels in [0, 1].
        Other inputs [N, n] do as well, and sigma is in their units. Read in batches.
    sigma
        Standard deviation per pixel in [0, 1]; certificates reach to some 3.7 times it.
    recipe
        ``"consistency"``: two noisy copies that should agree (Jeong and Shin 2020);
        ``"gaussian"``: one (Cohen et al. 2019), half the time per step; or a `Recipe`.
    minutes
        In all, by the clock: a few steps are timed first and the schedule fitted to what is left.
        10 where neither is given.
    epochs
        Instead of minutes: passes over the images; fractions are allowed.
    part
        ``"all"``, ``"norm"`` (normalisation layers) or ``"head"`` (the last layer).
    augment
        ``"auto"`` (crops and flips for images of 1 or 3 channels, nothing for other inputs),
        ``"crop-flip"``, ``"flip"``, ``"crop"``, ``"none"``, or a function of pixels [n, ...] and a
        ``torch.Generator`` for what it draws.
    rate
        Peak of the one-cycle rate of SGD (Nesterov momentum 0.9, weight decay 5e-4).
    batch
        Images per step; copies come on top.
    averaged
        Whether the weights' exponential average over a twentieth of the steps is tried as well;
        at each epoch's end the better of it and the last weights counts.
    compiled
        Whether torch.compile makes the steps. None: where bfloat16 makes it pay.
    seed
        Of the held-out part, order, augmentation, noise and dropout.
    out
        A folder for the state, ``log.tsv`` and what `load_model` reads. Killed at any moment, the
        same call goes on from the last state; on one thread of one machine to the same weights.
    progress
        Told of each step.

    Raises
    ------
    ConfigurationError
        (a ValueError) for settings out of range, a model that cannot be trained (frozen, cut
        gradients, TorchScript), a loss that is no number, too little time for one step, and a
        folder of other settings.
    InputError
        (a ValueError) for images that are no pixels, labels out of range or of one class only.
    LoadError
        (a ValueError) for a folder whose files are damaged.
    OSError
        Where the disk is full; what was kept before is as it was.

    Examples
    --------
    >>> import torch
    >>> from bandlimiter import harden
    >>> x = torch.rand(200, 2)
    >>> labels = (x[:, 0] > x[:, 1]).long()
    >>> hardened = harden(torch.nn.Linear(2, 2), (x, labels), sigma=0.05, epochs=5)
    >>> hardened.card.sigma, len(hardened.history)
    (0.05, 6)
    """
    began = time.monotonic()
    require_sigma(sigma)
    _require_numbers(minutes, epochs, rate, batch, seed)
    if minutes is None and epochs is None:
        minutes = MINUTES
    sigma, rate, batch, seed = float(sigma), float(rate), int(batch), int(seed)
    minutes, epochs = (None if each is None else float(each) for each in (minutes, epochs))
    classifier = model if isinstance(model, Classifier) else None
    network = _trainable(model.module if isinstance(model, Classifier) else model)
    trained_parameters(network, part)
    images = as_images(data)
    _require_labels(network, images)
    chosen = resolve_recipe(recipe)
    augmented = resolve_augment(augment, tuple(images.images(0, 1).shape[1:]))
    settings = Settings(
        sigma, chosen, part, 0, rate, bool(averaged), _compiled(compiled, network), seed
    )
    content = of_images(images)
    how = {**vars(chosen), "part": part, "augment": _name(augmented), "rate": rate, "batch": batch}
    how["averaged"] = bool(averaged)
    length = {"minutes": minutes, "epochs": epochs}
    identity = {"sigma": sigma, **how, **length, "seed": seed, "model": hash_of(network)}
    with RunFolder(None if out is None else Path(out), {**identity, "images": content}) as folder:
        if folder.path is not None and folder.finished:
            folder.drop_state()
            return _read(network, folder.path)
        training, held_out = split(images, seed)
        _require_classes(training)
        batches = Batches(training, batch, augmented, seed)
        if batch_norms(network):  # where a state is read, it has other ones
            used = compute_statistics(network, training, sigma, seed)
            batches.seen.update(image_digests(training.take(used)).tolist())
        run = Run(network, batches, held_out, settings, folder, began, progress)
        run.train(minutes, epochs)
        _finish(network)
        card = describe(
            network,
            classifier,
            {"name": images.name, **content, "held_out": len(held_out)},
            images.images(0, 1).ndim == 4,
            found=run.best,
            sigma=sigma,
            recipe={
                **how,
                "steps": run.steps,
                "epochs": round(run.steps / batches.per_epoch, 3),
                "chosen_epoch": run.best["epoch"],
                "chosen_average": run.best["averaged"],
            },
            seed=seed,
            seconds=run.seconds,
        )
        if folder.path is not None:
            seen = batches.seen.union(image_digests(held_out).tolist())
            store(folder.path, network, card, seen, classifier)
            folder.drop_state()
    return Hardened(network, run.history, card)


def _compiled(asked: bool | None, network: nn.Module) -> bool:
    """Return whether to compile: where nobody says, where the device computes in bfloat16."""
    return has_bfloat16(place_of(network)[0]) if asked is None else bool(asked)


def _trainable(model: nn.Module) -> nn.Module:
    """Return a copy to train, laid out as convolutions like it.

    Raises
    ------
    ConfigurationError
        For what is no eager module.
    """
    require_module(model)
    for part in model.modules():
        if isinstance(part, (torch.jit.ScriptModule, torch.fx.GraphModule)):
            raise ConfigurationError(
                f"expected a model of Python modules to train, got {type(part).__name__}, whose "
                "operations are fixed; give what builds it: --model MODULE:FACTORY"
            )
    for name, value in model.state_dict().items():
        if not isinstance(value, torch.Tensor):
            raise ConfigurationError(
                f"expected a model whose state is tensors alone, {name} is {type(value).__name__}; "
                "no file of weights holds that"
            )
    network = copied(model, frozen=False)
    set_training(network, mode=False)
    _lay_out(network, torch.channels_last)
    return network


def _lay_out(network: nn.Module, layout: torch.memory_format) -> None:
    """Lay out what has four dimensions; `nn.Module.to` refuses a network with more."""
    for each in (*network.parameters(), *network.buffers()):
        if each.ndim == 4:
            each.data = each.data.contiguous(memory_format=layout)


def _finish(network: nn.Module) -> None:
    """Leave a trained network as models come: eval mode, usual layout, no gradients kept."""
    _lay_out(network, torch.contiguous_format)
    set_training(network, mode=False)
    for parameter in network.parameters():
        parameter.grad = None


def _read(network: nn.Module, folder: Path) -> Hardened:
    """Return what a finished run left."""
    load_weights(network, folder / WEIGHTS)
    _finish(network)
    return Hardened(network, read_log(folder), read_card(folder / CARD))


def _require_numbers(
    minutes: float | None, epochs: float | None, rate: float, batch: int, seed: int
) -> None:
    if minutes is not None and epochs is not None:
        raise ConfigurationError("expected minutes or epochs, got both")
    for name, value in (("minutes", minutes), ("epochs", epochs), ("rate", rate)):
        if value is not None and not (is_number(value) and 0 < value < math.inf):
            raise ConfigurationError(f"expected {name} above 0, got {value!r}")
    if not _is_whole(batch) or batch < 2:
        raise ConfigurationError(f"expected a batch of two images or more, got {batch!r}")
    if not _is_whole(seed):
        raise ConfigurationError(f"expected the seed as a whole number, got {seed!r}")


def _is_whole(value: object) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _require_labels(network: nn.Module, images: ImageSet) -> None:
    """Refuse (InputError) labels that the network has no output for."""
    device, dtype = place_of(network)
    with torch.no_grad():
        first = require_given(images.images(0, 1).to(device, dtype))
        classes = model_logits(network, first).shape[1]
    require_labels(images.labels, len(images), classes)


def _require_classes(training: ImageSet) -> None:
    """Refuse (InputError) images of one class: there is nothing to learn."""
    if bool((training.labels == training.labels[0]).all()):
        raise InputError(
            f"expected training images of two classes or more, all {len(training)} have the label "
            f"{int(training.labels[0])}"
        )


def _name(augment: Augment | None) -> str:
    known = next((name for name, each in AUGMENTATIONS.items() if each is augment), None)
    return known or hash_of(augment)
