"""Images from a numpy archive, the packaged sample among them."""

import zipfile
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np

from bandlimiter.data.image_set import ArrayImages, from_arrays
from bandlimiter.errors import LoadError


def load_sample() -> ArrayImages:
    """The packaged sample: the first 500 images of the CIFAR-10 test set, in its order."""
    with as_file(files("bandlimiter.assets") / "cifar10_sample.npz") as path:
        images = load_npz(path)
    images.name = "sample"
    return images


def load_npz(path: Path) -> ArrayImages:
    """Read an ``.npz`` file with ``x`` ([N, H, W, C] or [N, C, H, W]) and ``y`` ([N]).

    Raises
    ------
    LoadError
        If the file is missing, damaged, or lacks a key.
    InputError
        If shapes or dtypes do not fit.
    """
    if not path.is_file():
        raise LoadError(f"expected an npz file, found none at {path}")
    try:
        with np.load(path, allow_pickle=False) as archive:
            missing = {"x", "y"} - set(archive)
            if missing:
                raise LoadError(
                    f"expected the keys x and y in {path}, found {', '.join(archive) or 'none'}"
                )
            x, y = archive["x"], archive["y"]
    except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile) as error:
        raise LoadError(f"expected a whole npz file, {path} is not: {error}") from error
    return from_arrays(f"npz:{path.name}", x, y)
