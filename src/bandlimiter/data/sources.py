"""Sources of images by name. A new one is a file in this room and a line here."""

from collections.abc import Callable
from pathlib import Path

from bandlimiter.data import arrays, cifar10, folders, foolbox_samples
from bandlimiter.data.image_set import ImageSet
from bandlimiter.errors import ConfigurationError

SOURCES: dict[str, Callable[[str, int | None, int, str], ImageSet]] = {
    "sample": lambda rest, size, channels, split: arrays.load_sample(),
    "cifar10": lambda rest, size, channels, split: cifar10.load_cifar10(Path(rest), split),
    "imagefolder": lambda rest, size, channels, split: folders.load_imagefolder(
        Path(rest), size, channels
    ),
    "npz": lambda rest, size, channels, split: arrays.load_npz(Path(rest)),
    "foolbox": lambda rest, size, channels, split: foolbox_samples.load_foolbox(rest),
}
"""The part of a name before the colon -> a loader for what follows, size, channels and split."""

SPLIT = ("cifar10",)
"""Sources with a training side beside the test side."""


def load_data(
    name: str,
    limit: int | None = None,
    subset: int | None = None,
    seed: int = 0,
    *,
    size: int | None = None,
    channels: int = 3,
    split: str | None = None,
) -> ImageSet:
    """Return the images called ``name``.

    Parameters
    ----------
    name
        ``sample`` (packaged, 500 CIFAR-10 test images), ``cifar10:PATH`` (the python
        batches, torchvision's folder, or the npm package's PNG batches),
        ``imagefolder:PATH`` (one folder per class), ``npz:FILE`` (keys
        ``x`` and ``y``), ``foolbox:imagenet`` and the like (Foolbox's 20 samples).
    limit
        Take the first ``limit`` images.
    subset
        Take ``subset`` images at random, drawn by ``seed``.
    size
        Height and width of images from ``imagefolder:``: they are scaled and cropped to the
        centre, from 64 pixels on with ImageNet's margin (see `bandlimiter.data.files`). Where
        omitted they stay as they are, and must be of one size. Other sources have sizes of
        their own.
    channels
        Of images from ``imagefolder:``, 3 (gray files as RGB) or 1 (of colour the luma).
    split
        ``"test"`` or ``"train"`` of ``cifar10:``; None is the test set. Other sources have no
        sides: what you name is what is read.

    Raises
    ------
    ConfigurationError
        For an unknown name, a limit, subset, size or number of channels out of range, or a split
        of a source that has none.
    InputError
        For arrays of the wrong kind, or image files of several sizes where none is asked for.
    LoadError
        For files that are missing or not what the name promises.
    """
    source, colon, rest = name.partition(":")
    if source not in SOURCES or (source == "sample") == bool(colon):
        raise ConfigurationError(
            "expected data of sample, cifar10:PATH, imagefolder:PATH, npz:FILE, foolbox:NAME; "
            f"got {name!r}"
        )
    if split is not None and source not in SPLIT:
        raise ConfigurationError(
            f"expected a split with cifar10:PATH alone, got {split!r} with {name}; other sources "
            "are read as they are"
        )
    images = SOURCES[source](rest, size, channels, split or "test").limited(limit, subset, seed)
    if isinstance(images, folders.FolderImages):
        images.require_one_size()
    return images
