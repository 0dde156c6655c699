"""From option values to a plain and a defended model on a device."""

import platform
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch

from bandlimiter.acceleration import Accelerated, accelerate
from bandlimiter.cli.streams import print_error
from bandlimiter.data import ImageSet, image_digests
from bandlimiter.defence import PostAverage
from bandlimiter.errors import ConfigurationError
from bandlimiter.models import Classifier, load_model
from bandlimiter.tensors import freeze, resolve_device
from bandlimiter.tensors.device import processor_name

PROBE = 128
"""The most images on which a fast copy is checked."""


@dataclass(frozen=True)
class Defended:
    """A classifier and its defended twin, with the settings that describe them."""

    classifier: Classifier
    defence: PostAverage
    device: torch.device
    settings: dict[str, Any]


def default_data(classifier: Classifier) -> str:
    """Return the packaged images where they fit the model; refuse to guess elsewhere."""
    if classifier.paper_data != "cifar10":
        raise ConfigurationError(f"expected --data for {classifier.name}; the sample is CIFAR-10")
    return "sample"


def build_defended(
    model: str = "sample",
    weights: Path | None = None,
    *,
    weights_key: str | None = None,
    radius: float | None = None,
    sigma: float | None = None,
    directions: int = 15,
    sampler: str | None = None,
    vote: str | None = None,
    randomness: str | None = None,
    scale: float | None = None,
    seed: int = 0,
    device: str = "auto",
    trained_sigma: bool = False,
    other_sigma: float | None = None,
) -> Defended:
    """Load a model and wrap it; see the options for what the values mean.

    With ``trained_sigma``, a hardened model is averaged under the noise that it was trained for,
    unless other noise is asked for, which is noted. ``other_sigma`` is what all others get instead
    of the paper's radius.
    """
    place = resolve_device(device)
    classifier = load_model(model, weights, weights_key=weights_key)
    freeze(classifier.module.to(place))  # attacks need gradients of x alone
    if trained_sigma:
        sigma = _sigma(classifier, radius, sigma, other_sigma)
    if radius is None and sigma is None:
        radius = classifier.paper_radius
        if radius is None:
            raise ConfigurationError(
                f"expected a radius for {model}, for which the paper has none; give --radius, or "
                "--sigma in pixels"
            )
    defence = PostAverage(
        classifier.module,
        radius,
        sigma=sigma,
        directions=directions,
        sampler=sampler,
        vote=vote,
        scale=scale,
        seed=seed,
        randomness=cast(Literal["fixed", "fresh"] | None, randomness),
    )
    names = classifier.class_names
    settings = {
        "model": model,
        "weights": None if weights is None else weights.name,
        "weights_key": classifier.weights_key,
        "class_names": None if names is None else list(names),
        "paper_data": classifier.paper_data,
        "paper_radius": classifier.paper_radius,
        "scale": scale,
        "hardened": None if classifier.card is None else classifier.card.model_dump(),
        "acceleration": None,
        "device": str(place),
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "processor": processor_name(place),
        "versions": {name: version(name) for name in ("bandlimiter", "torch", "numpy")},
    }
    return Defended(classifier, defence.eval().to(place), place, settings)


def _sigma(
    classifier: Classifier, radius: float | None, sigma: float | None, other: float | None
) -> float | None:
    """Return what is asked for, else what the card says, else ``other``; note where they differ."""
    asked = radius is not None or sigma is not None
    card = classifier.card
    if card is None:
        return sigma if asked else other
    if asked and sigma != card.sigma:
        noise = f"--radius {radius:g}" if sigma is None else f"--sigma {sigma:g}"
        print_error(
            f"note: {classifier.name} was hardened under sigma {card.sigma:g}; with {noise} it may "
            "keep much less"
        )
    return sigma if asked else card.sigma


def note_seen(classifier: Classifier, images: ImageSet) -> None:
    """Note how many images a hardened model was trained on: figures on those flatter it."""
    if classifier.seen is None:
        return
    known = int(np.isin(image_digests(images), classifier.seen).sum())
    if known:
        print_error(
            f"note: {classifier.name} was trained on {known} of these {len(images)} images, which "
            "flatters it; take images that it has not seen"
        )


def sped_up(defended: Defended, probe: torch.Tensor) -> Defended:
    """Let a fast copy of the model answer for the defence; attacks keep the model.

    Parameters
    ----------
    defended
        Its defence is changed.
    probe
        [N, ...] pixels on which the copy is checked: some of what it will see.
    """
    fast = accelerate(defended.classifier, probe=probe)
    defended.defence.model = fast.model
    settings = {**defended.settings, "acceleration": _figures(fast)}
    return replace(defended, settings=settings)


def resolve_alpha(stop: str, alpha: float | None) -> float:
    """Return the level, 0.001 by default; refuse one that would have no effect."""
    if alpha is not None and stop != "anytime":
        raise ConfigurationError(f"expected --stop anytime with --alpha, got --stop {stop}")
    return 1e-3 if alpha is None else alpha


def _figures(fast: Accelerated) -> dict[str, Any]:
    """Return what is known of a copy beside the copy itself."""
    figures = fast._asdict()
    del figures["model"]
    return {key: str(value) if key == "dtype" else value for key, value in figures.items()}
