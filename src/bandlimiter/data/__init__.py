"""Labelled images by name: pixels in [0, 1], read a batch at a time."""

from bandlimiter.data.image_set import ArrayImages, ImageSet
from bandlimiter.data.registry import SOURCES, load_data

__all__ = ["SOURCES", "ArrayImages", "ImageSet", "load_data"]
