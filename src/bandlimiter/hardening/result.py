"""What training under noise ends in: a network, its history, its card, and a folder of them."""

from collections.abc import Iterable
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from bandlimiter.acceleration.precision import has_bfloat16
from bandlimiter.hardening.checkpoint import Row
from bandlimiter.models import Classifier
from bandlimiter.models.card import Card, write_card
from bandlimiter.tensors import place_of
from bandlimiter.tensors.device import processor_name


class Hardened(NamedTuple):
    """A network that was trained under noise.

    Attributes
    ----------
    model
        In eval mode: [N, ...] pixels -> logits. ``PostAverage(model, sigma=card.sigma)`` is the
        average that it was trained for.
    history
        One row for each epoch, row 0 before training: ``epoch``, ``step``, ``seconds``, ``rate``,
        ``loss``, and on the held-out images ``clean``, ``noisy`` and ``steady`` accuracy (see
        `noisy_accuracy.Accuracy`).
    card
        What it is and how it was made.
    """

    model: nn.Module
    history: list[Row]
    card: Card


def describe(
    network: nn.Module,
    classifier: Classifier | None,
    data: dict[str, Any],
    of_pixels: bool,
    *,
    found: dict[str, Any],
    sigma: float,
    recipe: dict[str, Any],
    seed: int,
    seconds: float,
) -> Card:
    """Make the card of a network.

    Parameters
    ----------
    network
        As it was trained, on its device.
    classifier
        What it was made from, where that has a name.
    data
        The images: ``name``, fingerprints, and how many were ``held_out``.
    of_pixels
        Whether they are images, so that sigma is in pixels.
    found
        ``clean``, ``noisy`` and ``steady`` accuracy on the held-out ones.
    sigma, recipe, seed, seconds
        See `Card`.
    """
    return Card(
        base_model=_base_name(classifier),
        base_weights=_base_weights(classifier),
        sigma=sigma,
        unit="pixels in [0, 1]" if of_pixels else "those of the input",
        recipe=recipe,
        seed=seed,
        data=data,
        minutes=round(seconds / 60, 2),
        machine=_machine(place_of(network)[0]),
        held_out={
            "images": data["held_out"],
            **{name: found[name] for name in ("clean", "noisy", "steady")},
        },
    )


def store(
    folder: Path,
    network: nn.Module,
    card: Card,
    seen: Iterable[int],
    classifier: Classifier | None,
) -> None:
    """Write what `load_model` reads.

    ``seen`` are digests of the images that it has learnt from now; those that its base had learnt
    from are added, as far as they are known.

    Raises
    ------
    OSError
        Where there is no room.
    """
    digests = np.array(sorted(seen), np.int64)
    if classifier is not None and classifier.seen is not None:
        digests = np.union1d(digests, classifier.seen)
    write_card(folder, card, network.state_dict(), digests)


def _base_weights(classifier: Classifier | None) -> str | None:
    """Return what training began from: a file, or a hardened folder."""
    if classifier is None:
        return None
    return classifier.weights if classifier.card is None else classifier.name


def _base_name(classifier: Classifier | None) -> str | None:
    """Return what builds the architecture; files from any working folder."""
    if classifier is None:
        return None
    if classifier.card is not None:
        return classifier.card.base_model
    place, _, function = classifier.name.rpartition(":")
    return f"{Path(place).resolve()}:{function}" if place.endswith(".py") else classifier.name


def _machine(device: torch.device) -> dict[str, Any]:
    return {
        "processor": processor_name(device),
        "device": device.type,
        "threads": torch.get_num_threads(),
        "bfloat16": has_bfloat16(device),
        **{name: version(name) for name in ("bandlimiter", "torch")},
        "date": date.today().isoformat(),
    }
