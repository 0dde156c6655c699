"""Which class each image is to be moved to: the least likely one, the next one, or a given one."""

import csv
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from bandlimiter.data import ImageSet
from bandlimiter.errors import ConfigurationError, InputError, LoadError

RULES = ("least-likely", "next")
"""Targets that follow from an image's label or answer."""


@dataclass(frozen=True)
class Targets:
    """Chooses each image's target class.

    Attributes
    ----------
    rule
        ``"least-likely"``: the class of the plain model's smallest logit on the clean image,
        the first of several. ``"next"``: the label plus one, the last class's being 0.
        ``"given"``: by image, in ``given``.
    given
        Image id -> class.
    """

    rule: str
    given: Mapping[int, int] = field(default_factory=dict)

    def of(self, logits: torch.Tensor, labels: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """Return the targets [N] of images with these plain logits [N, classes], labels and ids."""
        if self.rule == "least-likely":
            return logits.argmin(dim=1)
        if self.rule == "next":
            return (labels + 1) % logits.shape[1]
        return torch.tensor([self.given[key] for key in ids.tolist()], device=labels.device)

    @property
    def description(self) -> str:
        """What settings and a run's identity call them; given ones by a hash of all."""
        if self.rule != "given":
            return self.rule
        text = json.dumps(sorted(self.given.items()))
        return f"given {hashlib.sha256(text.encode()).hexdigest()[:16]}"

    def require_below(self, classes: int) -> None:
        """Refuse (InputError) given targets that are no class of the model."""
        for image, target in self.given.items():
            if not 0 <= target < classes:
                raise InputError(
                    f"expected targets from 0 to {classes - 1}, as the model has {classes} "
                    f"outputs; got {target} for image {image}"
                )


def resolve_targets(targets: str | Path | torch.Tensor | None, images: ImageSet) -> Targets | None:
    """Return what was asked for; None for untargeted attacks.

    Parameters
    ----------
    targets
        A rule's name, a file (see `read_targets`), or [N] class indices in the order of
        ``images``.
    images
        The run's: each must have a target.

    Raises
    ------
    ConfigurationError
        For a name that is neither a rule's nor a file's.
    InputError
        For targets that are not whole numbers, one for each image.
    LoadError
        For a file that cannot be read.
    """
    if targets is None:
        return None
    if isinstance(targets, str) and targets in RULES:
        return Targets(targets)
    if isinstance(targets, str | Path):
        return Targets("given", _of_all(images, read_targets(Path(targets)), str(targets)))
    if not isinstance(targets, torch.Tensor) or targets.shape != images.labels.shape:
        shape = (
            tuple(targets.shape) if isinstance(targets, torch.Tensor) else type(targets).__name__
        )
        raise InputError(
            f"expected targets least-likely, next, a file, or a tensor of {len(images)} class "
            f"indices, one per image; got {shape}"
        )
    if targets.is_floating_point() or targets.is_complex() or targets.dtype == torch.bool:
        raise InputError(f"expected targets as whole numbers, got {targets.dtype}")
    return Targets("given", dict(zip(images.ids.tolist(), targets.tolist(), strict=True)))


def read_targets(path: Path) -> dict[int, int]:
    """Read image id -> class from a file.

    ``.csv``: columns ``image`` and ``target``, others are ignored; so a targeted run's
    ``rows.csv`` will do. ``.npy``: whole numbers [N], entry i being for the image with id i.
    An image's id is its number in its source, as rows have it.

    Raises
    ------
    ConfigurationError
        For a file that is not there, or of another suffix.
    LoadError
        For a damaged one.
    InputError
        For what are no whole numbers, and two targets of one image.
    """
    if path.suffix not in (".csv", ".npy") or not path.is_file():
        raise ConfigurationError(
            f"expected targets {', '.join(RULES)}, or a file of targets that exists (.csv with "
            f"columns image and target, or .npy), got {str(path)!r}"
        )
    return _read_csv(path) if path.suffix == ".csv" else _read_npy(path)


def _read_npy(path: Path) -> dict[int, int]:
    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise LoadError(f"expected an array of targets in {path}: {error}") from error
    if not isinstance(found, np.ndarray) or found.ndim != 1 or found.dtype.kind not in "iu":
        raise InputError(
            f"expected whole numbers [N] in {path}, got {getattr(found, 'dtype', 'several arrays')}"
            f" of shape {getattr(found, 'shape', ())}"
        )
    return dict(enumerate(found.tolist()))


def _read_csv(path: Path) -> dict[int, int]:
    targets: dict[int, int] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LoadError(f"expected targets in {path}: {error}") from error
    for number, line in enumerate(lines, start=2):
        try:
            image, target = int(line["image"]), int(line["target"])
        except (KeyError, TypeError, ValueError):
            raise InputError(
                f"expected columns image and target with whole numbers in {path}, line {number} "
                "has none such"
            ) from None
        if targets.setdefault(image, target) != target:
            raise InputError(f"expected one target for image {image} in {path}, got two")
    return targets


def _of_all(images: ImageSet, given: Mapping[int, int], name: str) -> dict[int, int]:
    """Keep those of the run's images; each must have one."""
    ids = images.ids.tolist()
    without = [key for key in ids if key not in given]
    if without:
        raise InputError(
            f"expected a target for each of {len(ids)} images in {name}, got none for "
            f"{len(without)} of them, the first being image {without[0]}"
        )
    return {key: given[key] for key in ids}
