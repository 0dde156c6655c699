"""Sources of images by name. A new one is a file in this room and a line here."""

from collections.abc import Callable
from pathlib import Path

from bandlimiter.data import arrays, cifar10, folders, foolbox_samples
from bandlimiter.data.image_set import ImageSet
from bandlimiter.errors import ConfigurationError

SOURCES: dict[str, Callable[[str, int], ImageSet]] = {
    "sample": lambda rest, size: arrays.load_sample(),
    "cifar10": lambda rest, size: cifar10.load_cifar10(Path(rest)),
    "imagefolder": lambda rest, size: folders.load_imagefolder(Path(rest), size),
    "npz": lambda rest, size: arrays.load_npz(Path(rest)),
    "foolbox": lambda rest, size: foolbox_samples.load_foolbox(rest),
}
"""The part of a name before the colon -> a loader for the part after it and a size."""


def load_data(
    name: str,
    limit: int | None = None,
    subset: int | None = None,
    seed: int = 0,
    *,
    size: int = 224,
) -> ImageSet:
    """Return the images called ``name``.

    Parameters
    ----------
    name
        ``sample`` (packaged, 500 CIFAR-10 test images), ``cifar10:PATH`` (the python
        batches, torchvision's folder, or the npm package's PNG batches; the test set),
        ``imagefolder:PATH`` (a folder a class, ImageNet preprocessing), ``npz:FILE`` (keys
        ``x`` and ``y``), ``foolbox:imagenet`` and the like (Foolbox's 20 samples).
    limit
        Take the first ``limit`` images.
    subset
        Take ``subset`` images at random, drawn by ``seed``.
    size
        Height and width of images from files; other sources have sizes of their own.

    Raises
    ------
    ConfigurationError
        For an unknown name, or a limit or subset out of range.
    LoadError
        For files that are missing or not what the name promises.
    """
    source, colon, rest = name.partition(":")
    if source not in SOURCES or (source == "sample") == bool(colon):
        raise ConfigurationError(
            "expected data of sample, cifar10:PATH, imagefolder:PATH, npz:FILE, foolbox:NAME; "
            f"got {name!r}"
        )
    return SOURCES[source](rest, size).limited(limit, subset, seed)
