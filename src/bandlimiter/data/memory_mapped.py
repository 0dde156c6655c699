"""Images kept in a temporary file: read once, in memory never all at once."""

import os
import tempfile
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import numpy as np
import torch
from typing_extensions import override

from bandlimiter.data.image_set import ImageSet, as_pixels
from bandlimiter.errors import InputError, LoadError


class PixelFile:
    """Pixels of N images of one shape in a file, float32 or bytes, that is mapped to be read.

    What was pickled maps the same file: workers on this machine share it.

    Parameters
    ----------
    path
        The file.
    shape
        [N, ...].
    dtype
        ``"float32"`` or ``"uint8"``.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: str) -> None:
        self._said = path, shape, dtype
        try:
            self._pixels = np.memmap(path, dtype, mode="r", shape=shape)
        except (OSError, ValueError) as error:
            raise LoadError(
                f"expected the images that were read in {path}, found {error}; they are kept on "
                "the machine that read them: give workers elsewhere an npz or imagefolder"
            ) from error

    def __len__(self) -> int:
        return self._said[1][0]

    def __getitem__(self, rows: torch.Tensor) -> torch.Tensor:
        """Return images by number: [n] int64 -> [n, ...] float32 in [0, 1]."""
        return as_pixels(torch.from_numpy(self._pixels[rows.numpy()]))

    def __reduce__(self) -> tuple[type["PixelFile"], tuple[Path, tuple[int, ...], str]]:
        return PixelFile, self._said


class MemoryMappedImages(ImageSet):
    """Images of a `PixelFile`.

    Parameters
    ----------
    name, labels, ids
        As `ImageSet`.
    pixels
        The file.
    rows
        [N] int64, where in the file each image is; all in order where omitted.
    """

    def __init__(
        self,
        name: str,
        pixels: PixelFile,
        labels: torch.Tensor,
        ids: torch.Tensor | None = None,
        rows: torch.Tensor | None = None,
    ) -> None:
        super().__init__(name, labels, ids)
        self._pixels = pixels
        self._rows = torch.arange(len(pixels)) if rows is None else rows

    @override
    def images(self, start: int, stop: int) -> torch.Tensor:
        return self._pixels[self._rows[start:stop]]

    @override
    def take(self, index: torch.Tensor) -> "MemoryMappedImages":
        taken = self.labels[index], self.ids[index], self._rows[index]
        return MemoryMappedImages(self.name, self._pixels, *taken)


def write_pixels(batches: Iterable[torch.Tensor]) -> PixelFile:
    """Write batches [n, ...] to a temporary file, which goes with its last reader here.

    The folder is that of Python's `tempfile`, which the variable TMPDIR names.

    Raises
    ------
    InputError
        For no image, images of several shapes or dtypes, and what are no pixels.
    LoadError
        Where the disk is full.
    """
    number, path = tempfile.mkstemp(prefix="bandlimiter-", suffix=".pixels")
    try:
        with os.fdopen(number, "wb") as file:
            shape, kind = _write(file, batches)
        pixels = PixelFile(Path(path), shape, kind)
    except BaseException as error:
        Path(path).unlink()
        if isinstance(error, OSError):
            raise LoadError(
                f"expected room for the images in {path}, got {error}; TMPDIR names another folder"
            ) from error
        raise
    weakref.finalize(pixels, Path(path).unlink, missing_ok=True)
    return pixels


def _write(file: IO[bytes], batches: Iterable[torch.Tensor]) -> tuple[tuple[int, ...], str]:
    """Write the batches, and return the whole's shape and dtype."""
    count = 0
    first: np.ndarray | None = None
    for batch in batches:
        if batch.dtype != torch.uint8 and not batch.is_floating_point():
            raise InputError(f"expected images as uint8 or floating point, got {batch.dtype}")
        batch = batch.detach().cpu()
        kept = (batch if batch.dtype == torch.uint8 else as_pixels(batch)).contiguous().numpy()
        first = kept if first is None else first
        if (kept.shape[1:], kept.dtype) != (first.shape[1:], first.dtype):
            raise InputError(
                f"expected images of one kind, got {first.dtype} {first.shape[1:]} and, from image "
                f"{count} on, {kept.dtype} {kept.shape[1:]}; a transform of the dataset can make "
                "them alike"
            )
        file.write(kept.data)
        count += len(kept)
    if first is None:
        raise InputError("expected at least one image, got none")
    return (count, *first.shape[1:]), str(first.dtype)
