"""From option values to a plain and a defended model on a device."""

import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, cast

import torch

from bandlimiter.acceleration import Accelerated, accelerate
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


def default_data(classifier: Classifier) -> str:
    """Return the packaged images where they fit the model; refuse to guess elsewhere."""
    if classifier.paper_data != "cifar10":
        raise ConfigurationError(f"expected --data for {classifier.name}; the sample is CIFAR-10")
    return "sample"


def build_defended(
    model: str = "sample",
    weights: Path | None = None,
    *,
    radius: float | None = None,
    directions: int = 15,
    sampler: str = "directions",
    vote: str = "softmax",
    randomness: str = "fixed",
    scale: float | None = None,
    accelerated: bool = False,
    seed: int = 0,
    device: str = "auto",
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
    fast = accelerate(classifier) if accelerated else None
    defence = PostAverage(
        classifier.module if fast is None else fast.model,
        radius,
        directions=directions,
        sampler=sampler,
        vote=vote,
        scale=scale,
        seed=seed,
        randomness=cast(Literal["fixed", "fresh"], randomness),
    )
    settings = {
        "model": model,
        "weights": None if weights is None else weights.name,
        "paper_data": classifier.paper_data,
        "paper_radius": classifier.paper_radius,
        "scale": scale,
        "acceleration": None if fast is None else _figures(fast),
        "device": str(place),
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "versions": {name: version(name) for name in ("bandlimiter", "torch", "numpy")},
    }
    return Defended(classifier, defence.eval().to(place), place, settings)


def _figures(fast: Accelerated) -> dict[str, Any]:
    """Return what is known of a copy beside the copy itself."""
    figures = fast._asdict()
    del figures["model"]
    return {key: str(value) if key == "dtype" else value for key, value in figures.items()}
