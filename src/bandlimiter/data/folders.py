"""A folder a class, as torchvision's ImageFolder reads it, with ImageNet preprocessing."""

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
        ids: torch.Tensor | None = None,
    ) -> None:
        super().__init__(name, labels, ids)
        self._paths = paths

    @override
    def images(self, start: int, stop: int) -> torch.Tensor:
        return torch.stack([read_image(path, 224) for path in self._paths[start:stop]])

    @override
    def take(self, index: torch.Tensor) -> "FolderImages":
        paths = [self._paths[i] for i in index.tolist()]
        return FolderImages(self.name, paths, self.labels[index], self.ids[index])


def load_imagefolder(path: Path) -> FolderImages:
    """List the images below ``path``: one folder a class, classes in alphabetical order.

    That order is ImageNet's own class order where the folders are named by synset.

    Raises
    ------
    LoadError
        If the folder is missing or holds no images.
    """
    if not path.is_dir():
        raise LoadError(f"expected a folder with a folder for each class, found none at {path}")
    classes = sorted(entry for entry in path.iterdir() if entry.is_dir())
    found = [
        (file, label)
        for label, folder in enumerate(classes)
        for file in sorted(folder.rglob("*"))
        if file.suffix.lower() in _SUFFIXES
    ]
    if not found:
        raise LoadError(f"expected images in the class folders of {path}, found none")
    labels = torch.tensor([label for _, label in found])
    return FolderImages(f"imagefolder:{path.name}", [file for file, _ in found], labels)
