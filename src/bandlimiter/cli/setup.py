"""From option values to a plain and a defended model on a device."""

import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, cast

import torch

from bandlimiter.defence import PostAverage
from bandlimiter.errors import ConfigurationError
from bandlimiter.models import Classifier, load_model
from bandlimiter.tensors import resolve_device


@dataclass(frozen=True)
class Defended:
    """A classifier and its defended twin, with the settings that describe them."""

    classifier: Classifier
    defence: PostAverage
    device: torch.device
    settings: dict[str, Any]


def build_defended(
    model: str,
    weights: Path | None,
    *,
    radius: float | None,
    directions: int,
    sampler: str,
    vote: str,
    randomness: str,
    scale: float | None,
    seed: int,
    device: str,
) -> Defended:
    """Load a model and wrap it; see the options for what the values mean."""
    place = resolve_device(device)
    classifier = load_model(model, weights)
    classifier.module.to(place).requires_grad_(False)  # attacks need gradients of x alone
    radius = classifier.paper_radius if radius is None else radius
    if radius is None:
        raise ConfigurationError(
            f"expected a radius for {model}, for which the paper has none; give --radius"
        )
    defence = PostAverage(
        classifier.module,
        radius,
        directions=directions,
        sampler=sampler,
        vote=vote,
        scale=scale,
        seed=seed,
        randomness=cast(Literal["fixed", "fresh"], randomness),
    ).eval()
    settings = {
        "model": model,
        "weights": None if weights is None else weights.name,
        "paper_data": classifier.paper_data,
        "radius": defence.radius,
        "radius_pixels": defence.pixel_radius,
        "directions": directions,
        "evaluations": defence.evaluations,
        "sampler": sampler,
        "vote": vote,
        "randomness": randomness,
        "device": str(place),
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "versions": {name: version(name) for name in ("bandlimiter", "torch", "numpy")},
    }
    return Defended(classifier, defence.to(place), place, settings)
