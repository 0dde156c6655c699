"""A folder a class, as torchvision's ImageFolder reads it, with ImageNet preprocessing."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from typing_extensions import override

from bandlimiter.data.files import read_image
from bandlimiter.data.image_set import ImageSet
from bandlimiter.errors import LoadError

_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".tif", ".tiff", ".webp"}


class FolderImages(ImageSet):
    """Images that stay on disk until they are asked for."""

    def __init__(
        self,
        name: str,
        paths: Sequence[Path],
        labels: torch.Tensor,
        size: int,
        class_count: int | None,
        ids: torch.Tensor | None = None,
    ) -> None:
        super().__init__(name, labels, ids)
        self._paths, self._size, self.class_count = paths, size, class_count

    @override
    def images(self, start: int, stop: int) -> torch.Tensor:
        return torch.stack([read_image(path, self._size) for path in self._paths[start:stop]])

    @override
    def _add_contents(self, digest: "hashlib._Hash") -> None:
        # Names and sizes: reading every file would take as long as the first pass over them.
        for path in self._paths:
            digest.update(f"{path.parent.name}/{path.name} {path.stat().st_size} ".encode())
        digest.update(str(self._size).encode())

    @override
    def take(self, index: torch.Tensor) -> "FolderImages":
        paths = [self._paths[i] for i in index.tolist()]
        return FolderImages(
            self.name, paths, self.labels[index], self._size, self.class_count, self.ids[index]
        )


def load_imagefolder(path: Path, size: int) -> FolderImages:
    """List the images below ``path``: one folder a class, classes in alphabetical order.

    That order is ImageNet's own class order where all 1,000 folders are there, named by
    synset. Hidden folders do not count.

    Parameters
    ----------
    path
        The folder of folders.
    size
        Height and width of the images to deliver; see `read_image`.

    Raises
    ------
    LoadError
        If the folder is missing, holds no images, or a class folder holds none.
    """
    if not path.is_dir():
        raise LoadError(f"expected a folder with a folder for each class, found none at {path}")
    folders = (entry for entry in path.iterdir() if entry.is_dir())
    classes = sorted(folder for folder in folders if not folder.name.startswith("."))
    files: list[Path] = []
    labels: list[int] = []
    for label, folder in enumerate(classes):
        inside = sorted(file for file in folder.rglob("*") if file.suffix.lower() in _SUFFIXES)
        if not inside:
            raise LoadError(
                f"expected images in every class folder of {path}, none in {folder.name}"
            )
        files += inside
        labels += [label] * len(inside)
    if not files:
        raise LoadError(f"expected images in class folders of {path}, found none")
    name = f"imagefolder:{path.name}"
    return FolderImages(name, files, torch.tensor(labels), size, len(classes))
