"""One image file to pixels."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from bandlimiter.errors import ConfigurationError, LoadError

_IMAGENET_RESIZE = 256 / 224
_DEEP = ("I", "I;16", "I;16B", "I;16L", "I;16N", "F")
"""Pillow's modes of more than 8 bits, which it would cut to white in converting."""
_DEEP_IN_16 = ("PNG", "PPM")
"""Formats whose mode I holds 16 bits and no more."""
_ORIENTATION = 0x0112
_TURNED = (5, 6, 7, 8)
"""Orientations in which width and height change places."""


def read_image(path: Path, size: int | None = None, channels: int = 3) -> torch.Tensor:
    """Read an image file as [channels, H, W] float32 in [0, 1].

    Parameters
    ----------
    path
        Any format that Pillow reads. Gray files may have 16 bits; of an animation the first
        picture is taken, transparency is dropped.
    size
        Height and width to deliver. An image that has them comes unchanged. From 64
        pixels on, ImageNet's preprocessing: the shorter side to ``size * 256 / 224``
        (bicubic), then the centre. Below, as for CIFAR-10: the largest centred square,
        scaled down. None leaves the image as it is.
    channels
        3 (gray files show the same in each) or 1 (of colour the luma, as Pillow's mode L).

    Raises
    ------
    LoadError
        If the file is missing, no image, or has more bits than those.
    ConfigurationError
        For a size below 1, or another number of channels.
    """
    require_frame(size, channels)
    try:
        with _opened(path) as opened:
            image, white = _decoded(ImageOps.exif_transpose(opened), opened.format, path)
    except LoadError:
        raise
    except Exception as error:  # decoders raise anything at damaged files
        raise LoadError(f"expected an image, {shown(path)} is not one: {error}") from error
    if size is not None and image.size != (size, size):
        image = _centre_crop(image, size, _IMAGENET_RESIZE if size >= 64 else 1.0)
    if image.mode == "F":
        gray = torch.from_numpy(np.array(image))[None] / white
        return gray.clamp(0, 1).expand(channels, -1, -1).contiguous()  # bicubic overshoots
    return pixels_of(image.convert("L") if channels == 1 else image).float() / white


def pixels_of(image: Image.Image) -> torch.Tensor:
    """Return a picture's bytes as [C, H, W] uint8: one channel where it is gray, else RGB."""
    image = image if image.mode in ("L", "RGB") else image.convert(_gray_or_colour(image))
    array = np.array(image)
    return torch.from_numpy(array[None] if array.ndim == 2 else array.transpose(2, 0, 1).copy())


def image_size(path: Path) -> tuple[int, int]:
    """Return height and width of an image file as it will be read, from its header alone.

    Raises
    ------
    LoadError
        If the file is missing or no image.
    """
    try:
        with _opened(path) as image:
            width, height = image.size
            turned = image.getexif().get(_ORIENTATION) in _TURNED
    except LoadError:
        raise
    except Exception as error:
        raise LoadError(f"expected an image, {shown(path)} is not one: {error}") from error
    return (width, height) if turned else (height, width)


def require_frame(size: int | None, channels: int) -> None:
    """Refuse a size below 1, and channels that are neither 1 nor 3."""
    if size is not None and size < 1:
        raise ConfigurationError(f"expected a size of at least one pixel, got {size}")
    if channels not in (1, 3):
        raise ConfigurationError(f"expected 1 or 3 channels, got {channels}")


def shown(path: Path) -> str:
    """Write a path in one line: names may hold line breaks, and bytes that are no text."""
    return str(path) if str(path).isprintable() else ascii(str(path))


def _opened(path: Path) -> Image.Image:
    if not path.is_file():
        raise LoadError(f"expected an image file, found none at {shown(path)}")
    return Image.open(path)


def _decoded(image: Image.Image, form: str | None, path: Path) -> tuple[Image.Image, int]:
    """Return an image in RGB, or deep gray in floating point, and what its white is."""
    if image.mode not in _DEEP:
        return image.convert("RGB"), 255
    if image.mode.startswith("I;16") or (image.mode == "I" and form in _DEEP_IN_16):
        return Image.fromarray(np.array(image).astype(np.float32)), 65535
    raise LoadError(
        f"expected 8 bits a channel, or 16 of gray, {shown(path)} has 32; convert it first"
    )


def _gray_or_colour(image: Image.Image) -> str:
    return "L" if Image.getmodebase(image.mode) == "L" else "RGB"


def _centre_crop(image: Image.Image, size: int, margin: float) -> Image.Image:
    factor = size * margin / min(image.size)
    width, height = (max(size, round(side * factor)) for side in image.size)
    resized = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - size) // 2, (height - size) // 2
    return resized.crop((left, top, left + size, top + size))
