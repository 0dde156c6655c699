"""One folder per class, as torchvision's ImageFolder reads it."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from typing_extensions import override

from bandlimiter.data.files import image_size, read_image, require_frame, shown
from bandlimiter.data.image_set import ImageSet
from bandlimiter.errors import InputError, LoadError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""Those of torchvision's ImageFolder, in any case."""


class FolderImages(ImageSet):
    """Images that stay on disk until they are asked for.

    Parameters
    ----------
    name, labels, ids
        As `ImageSet`.
    paths
        N image files.
    size, channels
        See `read_image`.
    class_count
        How many class folders there are.
    """

    def __init__(
        self,
        name: str,
        paths: Sequence[Path],
        labels: torch.Tensor,
        size: int | None,
        class_count: int | None,
        ids: torch.Tensor | None = None,
        channels: int = 3,
    ) -> None:
        super().__init__(name, labels, ids)
        self._paths, self._size, self._channels = paths, size, channels
        self.class_count = class_count

    @override
    def images(self, start: int, stop: int) -> torch.Tensor:
        paths = self._paths[start:stop]
        return torch.stack([read_image(path, self._size, self._channels) for path in paths])

    @override
    def _add_contents(self, digest: "hashlib._Hash") -> None:
        digest.update(f"{self._size} {self._channels}".encode())
        for path in self._paths:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())

    @override
    def take(self, index: torch.Tensor) -> "FolderImages":
        return self._with([self._paths[i] for i in index.tolist()], index, self._channels)

    def in_channels(self, channels: int) -> "FolderImages":
        """Return the same images with 1 or 3 channels."""
        return self._with(self._paths, torch.arange(len(self)), channels)

    def frame(self) -> tuple[int, int]:
        """Return height and width of the first image, as it is delivered."""
        return image_size(self._paths[0]) if self._size is None else (self._size, self._size)

    def require_one_size(self) -> None:
        """Refuse (InputError) files of several sizes where none is asked for.

        Only headers are read. Files without one fail when they are read, each for itself.
        """
        first: tuple[tuple[int, int], Path] | None = None
        for path in self._paths if self._size is None else ():
            try:
                size = image_size(path)
            except LoadError:
                continue
            first = first or (size, path)
            if size != first[0]:
                raise InputError(
                    f"expected images of one size, got {_across(first[0])} ({shown(first[1])}) "
                    f"and {_across(size)} ({shown(path)}); --size N (size=N in load_data) scales "
                    "and crops them"
                )

    def _with(self, paths: Sequence[Path], index: torch.Tensor, channels: int) -> "FolderImages":
        return FolderImages(
            self.name,
            paths,
            self.labels[index],
            self._size,
            self.class_count,
            self.ids[index],
            channels,
        )


def load_imagefolder(path: Path, size: int | None, channels: int = 3) -> FolderImages:
    """List the images below ``path``: one folder per class, classes in alphabetical order.

    That order is ImageNet's own class order where all 1,000 folders are there, named by
    synset. Images are files with one of torchvision's `EXTENSIONS`, at any depth of a class
    folder, in the order of torchvision's ``ImageFolder``; links are followed. Files and folders
    whose names start with a dot do not count.

    Parameters
    ----------
    path
        The folder of folders.
    size, channels
        What to deliver; see `read_image`.

    Raises
    ------
    LoadError
        If the folder is missing or unreadable, holds no images, a class folder holds none, or
        an image is a link to a file that is not there.
    ConfigurationError
        For a size below 1, or channels that are neither 1 nor 3.
    """
    require_frame(size, channels)
    if not path.is_dir():
        raise LoadError(
            f"expected a folder with a folder for each class, found none at {shown(path)}"
        )
    files: list[Path] = []
    labels: list[int] = []
    try:
        seen = [entry for entry in path.iterdir() if not _hidden(entry.name)]
        for entry in seen:  # without it, all classes after it would have other labels
            if entry.is_symlink() and not entry.exists():
                raise LoadError(f"expected class folders, {shown(entry)} is a link to nothing")
        entries = [entry for entry in seen if entry.is_dir()]
        classes = sorted(entries, key=lambda entry: entry.name)
        for label, folder in enumerate(classes):
            inside = list(_images_in(folder))
            if not inside:
                raise LoadError(
                    f"expected images in every class folder of {shown(path)}, none in "
                    f"{shown(Path(folder.name))}; images end in {', '.join(EXTENSIONS)}"
                )
            files += inside
            labels += [label] * len(inside)
    except OSError as error:
        raise LoadError(f"expected readable folders in {shown(path)}, got {error}") from error
    if not files:
        raise LoadError(f"expected images in class folders of {shown(path)}, found none")
    name = f"imagefolder:{path.name}"
    return FolderImages(name, files, torch.tensor(labels), size, len(classes), channels=channels)


def _images_in(folder: Path) -> Iterator[Path]:
    """Yield the image files below a folder, in the order of torchvision's ImageFolder."""
    for root, names in sorted(_walk(folder)):
        for name in sorted(names):
            path = Path(root, name)
            if _hidden(name) or not name.lower().endswith(EXTENSIONS):
                continue
            if path.is_symlink() and not path.exists():
                raise LoadError(
                    f"expected an image, {shown(path)} is a link to a file that is not there"
                )
            if path.is_file():  # no pipe, on which reading would wait for ever
                yield path


def _walk(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield folders with the names of their files, without hidden ones and links to a parent."""

    def fail(error: OSError) -> None:
        raise error

    for root, folders, names in os.walk(folder, onerror=fail, followlinks=True):
        above = (Path(root).resolve(), *Path(root).resolve().parents)
        folders[:] = [
            name
            for name in folders
            if not _hidden(name) and Path(root, name).resolve() not in above
        ]
        yield root, names


def _hidden(name: str) -> bool:
    return name.startswith(".")


def _across(size: tuple[int, int]) -> str:
    return f"{size[1]} x {size[0]}"
