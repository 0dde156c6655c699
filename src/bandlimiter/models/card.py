"""What a network that was hardened under noise is: a folder with weights and their card."""

import io
import json
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors.torch import save as to_safetensors

from bandlimiter.errors import LoadError
from bandlimiter.results.files import write_whole

CARD = "card.json"
"""Written last: it says that all is there."""

CHECKPOINT = "checkpoint.pt"
"""What a folder has whose training has not ended."""

WEIGHTS = "model.safetensors"
SEEN = "trained_on.npy"
"""Digests of the images that it has seen, [N] int64; see `bandlimiter.data.digests`."""


class Card(BaseModel):
    """What is known of a hardened network beside its weights.

    Attributes
    ----------
    base_model
        What builds the architecture, as ``load_model`` names it; None for a module that Python
        code handed in, which only its owner can build.
    base_weights
        The file, or the hardened folder, that the training began from; None for a model with
        weights of its own.
    sigma, unit
        Standard deviation of each pixel under the noise that it was trained on, and in what.
    recipe
        How it was made: name, draws, epochs, rate and the like.
    seed
        Of every draw.
    data
        The training images: name, number, fingerprint, and how many of them chose the epoch.
    minutes
        What it took.
    machine
        Processor, threads, versions, date.
    held_out
        ``clean`` accuracy, ``noisy`` (mean over eight noisy copies) and ``steady`` (all eight
        right) on ``images`` training images that no step has seen; the last chose the epoch.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    base_model: str | None
    base_weights: str | None = None
    sigma: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    unit: Literal["pixels in [0, 1]", "those of the input"]
    recipe: dict[str, Any]
    seed: int
    data: dict[str, Any]
    minutes: float
    machine: dict[str, Any]
    held_out: dict[str, Any]


def write_card(
    folder: Path, card: Card, weights: dict[str, torch.Tensor], seen: NDArray[np.int64]
) -> None:
    """Write a hardened folder, its card last.

    Raises
    ------
    OSError
        Where there is no room.
    """
    kept = {name: value.detach().cpu().contiguous().clone() for name, value in weights.items()}
    write_whole(folder / WEIGHTS, to_safetensors(kept))
    digests = io.BytesIO()
    np.save(digests, np.sort(seen), allow_pickle=False)
    write_whole(folder / SEEN, digests.getvalue())
    write_whole(folder / CARD, card.model_dump_json(indent=2) + "\n")


def read_card(path: Path) -> Card:
    """Read a card.

    Raises
    ------
    LoadError
        If it is missing, damaged, or of a later version.
    """
    try:
        return Card.model_validate(json.loads(path.read_text()))
    except (OSError, ValueError, ValidationError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else None
        reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}" if first else error
        raise LoadError(f"expected the card of a hardened network, {path} is none: {reason}") from (
            error
        )


def read_seen(path: Path) -> NDArray[np.int64]:
    """Read the digests of the images that a network has seen.

    Raises
    ------
    LoadError
        If the file is missing or damaged.
    """
    try:
        seen: NDArray[np.int64] = np.asarray(np.load(path, allow_pickle=False))
    except Exception as error:  # a damaged file may fail anywhere in the reader
        reason = " ".join(str(error).split())
        raise LoadError(
            f"expected digests of training images, {path} has none: {reason}"
        ) from error
    if seen.ndim != 1 or seen.dtype != np.int64:
        raise LoadError(f"expected digests as int64 [N] in {path}, got {seen.dtype} {seen.shape}")
    return seen
