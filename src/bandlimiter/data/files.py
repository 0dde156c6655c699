"""One image file to pixels."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

from bandlimiter.errors import LoadError

_IMAGENET_RESIZE = 256 / 224
_DEEP = ("I", "I;16", "I;16B", "I;16L", "F")
"""Pillow's modes of more than 8 bits, which it would cut to white in converting."""
_FAILURES = (UnidentifiedImageError, Image.DecompressionBombError, OSError)


def read_image(path: Path, size: int | None) -> torch.Tensor:
    """Read an image as [3, H, W] float32 in [0, 1].

    Parameters
    ----------
    path
        Any format that Pillow reads.
    size
        Height and width to deliver. An image that has them comes unchanged. From 64
        pixels on, ImageNet's preprocessing: the shorter side to ``size * 256 / 224``
        (bicubic), then the centre. Below, as for CIFAR-10: the largest centred square,
        scaled down. None leaves the image as it is.

    Raises
    ------
    LoadError
        If the file is missing or no image.
    """
    if not path.is_file():
        raise LoadError(f"expected an image file, found none at {path}")
    try:
        image = ImageOps.exif_transpose(Image.open(path))
        if image.mode in _DEEP:
            raise LoadError(f"expected 8 bits a channel, {path} has more; convert it first")
        image = image.convert("RGB")
    except (*_FAILURES, SyntaxError, ValueError) as error:
        raise LoadError(f"expected an image, {path} is not one: {error}") from error
    if size is not None and image.size != (size, size):
        image = _centre_crop(image, size, _IMAGENET_RESIZE if size >= 64 else 1.0)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255


def _centre_crop(image: Image.Image, size: int, margin: float) -> Image.Image:
    factor = size * margin / min(image.size)
    width, height = (max(size, round(side * factor)) for side in image.size)
    resized = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - size) // 2, (height - size) // 2
    return resized.crop((left, top, left + size, top + size))
