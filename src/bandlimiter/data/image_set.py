"""What every source of images becomes."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from typing_extensions import override

from bandlimiter.errors import ConfigurationError, InputError
from bandlimiter.tensors import as_labels, clip_rounding, generator

_NUMBERS = 2**24
"""Of so many numbers, 64 MiB as float32, images in memory at once may be."""


class ImageSet(ABC):
    """Labelled images that are read when they are needed.

    Attributes
    ----------
    name
        What it was asked for as.
    labels
        [N] int64 class indices.
    ids
        [N] int64, each image's number in its source: what rows and random draws refer
        to, whatever part of the set is taken.
    class_count
        How many classes the source itself shows (folders); None where labels are given.
    """

    class_count: int | None = None

    def __init__(self, name: str, labels: torch.Tensor, ids: torch.Tensor | None = None) -> None:
        labels = as_labels(labels)
        if len(labels) == 0:
            raise InputError(f"expected at least one image in {name}, found none")
        self.name = name
        self.labels = labels.cpu()
        self.ids = torch.arange(len(labels)) if ids is None else ids

    @abstractmethod
    def images(self, start: int, stop: int) -> torch.Tensor:
        """Return images ``start`` to ``stop - 1``: [n, C, H, W] float32 in [0, 1]."""

    @abstractmethod
    def take(self, index: torch.Tensor) -> "ImageSet":
        """Return the set of the images numbered in ``index``: [n] int64, in that order."""

    def fingerprint(self) -> str:
        """Return a text that changes with ids, labels or contents: 16 hexadecimal digits."""
        digest = hashlib.sha256(self.ids.numpy().tobytes() + self.labels.numpy().tobytes())
        self._add_contents(digest)
        return digest.hexdigest()[:16]

    def _add_contents(self, digest: "hashlib._Hash") -> None:
        """Add what the images are made of: here every pixel, as it is read."""
        for i in range(len(self)):
            pixels = self.images(i, i + 1).detach().cpu().contiguous()
            digest.update(f"{pixels.dtype} {tuple(pixels.shape)}".encode())
            digest.update(pixels.flatten().view(torch.uint8).numpy().data)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def together(self) -> int:
        """How many images to have in memory at once: up to 250, of large ones fewer, at least 2."""
        return max(2, min(250, _NUMBERS // max(1, self.images(0, 1).numel())))

    def limited(self, limit: int | None, subset: int | None, seed: int) -> "ImageSet":
        """Return the first ``limit`` images, or ``subset`` of them drawn by ``seed``.

        With both, ``subset`` of the first ``limit`` are drawn. A drawn subset keeps the
        source's order.

        Raises
        ------
        ConfigurationError
            For a number below one, or a subset larger than the set.
        """
        chosen = torch.arange(len(self))
        if limit is not None:
            if limit < 1:
                raise ConfigurationError(f"expected a limit of at least one image, got {limit}")
            chosen = chosen[:limit]
        if subset is not None:
            if not 1 <= subset <= len(chosen):
                raise ConfigurationError(
                    f"expected a subset of 1 to {len(chosen)} images, got {subset}"
                )
            order = torch.randperm(len(chosen), generator=generator(seed, "subset"))
            chosen = chosen[order[:subset].sort().values]
        return self if len(chosen) == len(self) else self.take(chosen)


class ArrayImages(ImageSet):
    """Images held in memory, uint8 or floating point.

    Parameters
    ----------
    name, labels, ids
        As `ImageSet`.
    pixels
        [N, C, H, W]: uint8 (divided by 255 when read), or floating point in [0, 1].
    """

    def __init__(
        self,
        name: str,
        pixels: torch.Tensor,
        labels: torch.Tensor | Sequence[int] | np.ndarray,
        ids: torch.Tensor | None = None,
    ) -> None:
        super().__init__(name, as_labels(labels), ids)
        pixels = torch.as_tensor(pixels)
        if pixels.ndim == 0 or len(pixels) != len(self):
            raise InputError(
                f"expected as many labels as images in {name}, got {len(self)} labels and "
                f"{len(pixels) if pixels.ndim else 'no'} images"
            )
        self._pixels = pixels

    @override
    def images(self, start: int, stop: int) -> torch.Tensor:
        part = self._pixels[start:stop]
        return as_pixels(part)

    @override
    def take(self, index: torch.Tensor) -> "ArrayImages":
        return ArrayImages(self.name, self._pixels[index], self.labels[index], self.ids[index])


def as_pixels(given: torch.Tensor) -> torch.Tensor:
    """Return float32: bytes divided by 255, others with their own rounding at 0 and 1 clipped."""
    if given.dtype == torch.uint8:
        return given.float() / 255
    return (clip_rounding(given) if given.is_floating_point() else given).float()


def from_arrays(name: str, x: np.ndarray, y: Sequence[int] | np.ndarray) -> ArrayImages:
    """Build a set from numpy arrays: x [N, H, W, C] or [N, C, H, W], y [N].

    Channels are the axis of length 1 or 3; where both ends could be, the last.

    Raises
    ------
    InputError
        If the shapes or dtypes are others.
    """
    pixels, labels = np.asarray(x), np.asarray(y)
    if pixels.ndim != 4 or not {pixels.shape[1], pixels.shape[3]} & {1, 3}:
        raise InputError(
            f"expected x of shape [N, H, W, C] or [N, C, H, W] with 1 or 3 channels in {name}, "
            f"got {pixels.shape}"
        )
    if pixels.dtype != np.uint8 and pixels.dtype.kind != "f":
        raise InputError(f"expected x as uint8 or floating point in {name}, got {pixels.dtype}")
    if pixels.shape[3] in (1, 3):
        pixels = pixels.transpose(0, 3, 1, 2)
    # Files may hold big-endian or long floating point numbers, which torch does not know.
    half = pixels.dtype.itemsize == 2
    kept = pixels.dtype if pixels.dtype == np.uint8 else np.float16 if half else np.float32
    if labels.dtype.kind in "iuf":
        labels = labels.astype(labels.dtype.newbyteorder("="))
    return ArrayImages(name, torch.from_numpy(np.ascontiguousarray(pixels, kept)), labels)
