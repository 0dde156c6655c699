"""What every source of images becomes."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from typing_extensions import override

from bandlimiter.errors import ConfigurationError, InputError
from bandlimiter.tensors import generator


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
        if len(labels) == 0:
            raise InputError(f"expected at least one image in {name}, found none")
        self.name = name
        self.labels = labels.to(torch.int64)
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
        """Add what the images are made of, or what changes with it; their source's name here."""
        digest.update(self.name.encode())

    def __len__(self) -> int:
        return len(self.labels)

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
        labels: torch.Tensor,
        ids: torch.Tensor | None = None,
    ) -> None:
        pixels, labels = torch.as_tensor(pixels), torch.as_tensor(labels)
        super().__init__(name, labels, ids)
        if len(pixels) != len(labels):
            raise InputError(
                f"expected as many labels as images in {name}, got {len(pixels)} images and "
                f"{len(labels)} labels"
            )
        self._pixels = pixels

    @override
    def images(self, start: int, stop: int) -> torch.Tensor:
        part = self._pixels[start:stop]
        return part.float() / 255 if part.dtype == torch.uint8 else part.float()

    @override
    def _add_contents(self, digest: "hashlib._Hash") -> None:
        numbers = self._pixels.detach().cpu().contiguous().flatten().view(torch.uint8)
        digest.update(numbers.numpy().data)

    @override
    def take(self, index: torch.Tensor) -> "ArrayImages":
        return ArrayImages(self.name, self._pixels[index], self.labels[index], self.ids[index])


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
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise InputError(
            f"expected y as a vector of integers in {name}, got {labels.dtype} {labels.shape}"
        )
    if pixels.shape[3] in (1, 3):
        pixels = pixels.transpose(0, 3, 1, 2)
    # Files may hold big-endian or long floating point numbers, which torch does not know.
    pixels = pixels.astype(np.uint8 if pixels.dtype == np.uint8 else np.float32)
    contiguous = torch.from_numpy(np.ascontiguousarray(pixels))
    return ArrayImages(name, contiguous, torch.from_numpy(labels.astype(np.int64)))
