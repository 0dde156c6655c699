"""Adversarial images in files, so that one set can be judged against many defences."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from typing_extensions import override

from bandlimiter.attacks import Attack, AttackInput
from bandlimiter.errors import InputError, LoadError
from bandlimiter.results.files import printable, write_whole
from bandlimiter.tensors import require_images


def write_adversarial(
    path: Path, images: torch.Tensor, ids: torch.Tensor, *, attack: str, quick: bool = False
) -> None:
    """Write adversarial images as safetensors.

    Parameters
    ----------
    path
        The file, by custom ``*.safetensors``.
    images
        [N, C, H, W] float32 pixels in [0, 1].
    ids
        [N] int64: the number of each one's original in the set of images.
    attack
        What made them; kept as metadata and shown in tables.
    quick
        Whether that was a quick attack; kept too.
    """
    content = {"images": images.contiguous().cpu(), "ids": ids.to(torch.int64).cpu()}
    write_whole(path, _ordered(save(content, metadata={"attack": attack, "quick": str(quick)})))


def _ordered(data: bytes) -> bytes:
    """Put a safetensors file's header in order, which its writer leaves to chance."""
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.dumps(_header(data), sort_keys=True, separators=(",", ":"))
    # The space that the writer leaves, for alignment, belongs behind it.
    return data[:8] + header.encode().ljust(end - 8) + data[end:]


def _header(data: bytes) -> dict[str, Any]:
    header: dict[str, Any] = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return header


def read_adversarial(path: Path) -> "SavedImages":
    """Read such a file as an attack that only delivers the saved images.

    Raises
    ------
    LoadError
        If the file is missing, damaged, or has other tensors than ``images`` and ``ids``.
    InputError
        If the shapes do not fit together, pixels lie outside [0, 1] or are NaN, or an id
        comes twice.
    """
    if not path.is_file():
        raise LoadError(f"expected adversarial images, found no file at {path}")
    try:
        data = path.read_bytes()  # safetensors opens no path that is not UTF-8
        tensors, facts = load(data), _header(data).get("__metadata__", {})
    except (SafetensorError, OSError) as error:
        raise LoadError(
            f"expected a safetensors file with images and ids, {path} is not: {error}"
        ) from error
    if not {"images", "ids"} <= tensors.keys():
        raise LoadError(f"expected images and ids in {path}, got {', '.join(tensors) or 'nothing'}")
    images, ids = tensors["images"], tensors["ids"]
    if images.ndim < 2 or not images.is_floating_point() or ids.shape != images.shape[:1]:
        raise InputError(
            f"expected images [N, ...] in floating point and ids [N] in {path}, got "
            f"{tuple(images.shape)} {images.dtype} and {tuple(ids.shape)}"
        )
    try:
        images = require_images(images)
    except InputError as error:
        raise InputError(f"in {path}: {error}") from error
    if len(set(ids.tolist())) < len(ids):
        raise InputError(f"expected each id once in {path}, got some twice")
    name = printable(facts.get("attack", path.stem))
    return SavedImages(name, images, ids, quick=facts.get("quick") == "True")


class SavedImages(Attack):
    """Delivers images that were made before, by image id; the base judges them like any.

    Parameters
    ----------
    name
        What made them.
    images, ids
        [N, ...] pixels in [0, 1] and [N] int64, the numbers of their originals.
    quick
        Whether a quick attack made them.
    """

    protocol = "saved"
    threat = "unknown"

    def __init__(
        self, name: str, images: torch.Tensor, ids: torch.Tensor, *, quick: bool = False
    ) -> None:
        self.name, self.quick = name, quick
        self._images = images
        self._place = {key: place for place, key in enumerate(ids.tolist())}

    def require_fitting(self, ids: torch.Tensor, first: torch.Tensor) -> None:
        """Refuse (InputError) images of none of ``ids``, or of another shape than ``first``'s."""
        self._fitting(self._images[0], first[0])
        if not any(key in self._place for key in ids.tolist()):
            raise InputError(
                f"expected adversarial images ({self.name}) of the images that are evaluated, "
                f"but none of their {len(self._place)} ids is among these {len(ids)}"
            )

    @override
    def run(self, inputs: AttackInput) -> torch.Tensor:
        candidates = inputs.images.clone()
        for row, key in enumerate(inputs.ids):
            place = self._place.get(int(key))
            if place is not None:
                candidates[row] = self._fitting(self._images[place], inputs.images[row])
        return candidates

    def _fitting(self, image: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        if image.shape != like.shape:
            raise InputError(
                f"expected adversarial images of shape {tuple(like.shape)}, as the originals, "
                f"got {tuple(image.shape)}"
            )
        return image.to(like.device, like.dtype)
