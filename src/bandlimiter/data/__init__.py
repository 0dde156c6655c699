"""Labelled images by name: pixels in [0, 1], read a batch at a time; and sets in the plane."""

import warnings

from bandlimiter.data.digests import image_digests
from bandlimiter.data.from_torch import ImagesLike, as_images
from bandlimiter.data.image_set import ArrayImages, ImageSet
from bandlimiter.data.planar import PLANAR_SETS, PlanarSet, load_planar
from bandlimiter.data.sources import SOURCES, load_data

__all__ = [
    "PLANAR_SETS",
    "SOURCES",
    "ArrayImages",
    "ImageSet",
    "ImagesLike",
    "PlanarSet",
    "as_images",
    "image_digests",
    "load_data",
    "load_planar",
]


def __getattr__(name: str) -> object:
    if name != "Given":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn(
        "bandlimiter.data.Given is called ImagesLike now", DeprecationWarning, stacklevel=2
    )
    return ImagesLike
