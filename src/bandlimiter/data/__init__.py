"""Labelled images by name: pixels in [0, 1], read a batch at a time; and sets in the plane."""

from bandlimiter.data.digests import image_digests
from bandlimiter.data.given import Given, as_images
from bandlimiter.data.image_set import ArrayImages, ImageSet
from bandlimiter.data.planar import PLANAR_SETS, PlanarSet, load_planar
from bandlimiter.data.registry import SOURCES, load_data

__all__ = [
    "PLANAR_SETS",
    "SOURCES",
    "ArrayImages",
    "Given",
    "ImageSet",
    "PlanarSet",
    "as_images",
    "image_digests",
    "load_data",
    "load_planar",
]
