"""Images as PNG inside the page: pixels as they are, and differences magnified about grey."""

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_FACTORS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


def png_uri(image: NDArray[np.floating]) -> str:
    """Return a ``data:`` address of an image [C, H, W] (C 1 or 3) or [H, W], pixels in [0, 1].

    Other numbers of channels are shown by their mean.
    """
    pixels = np.asarray(image, dtype=np.float64)
    if pixels.ndim == 2:
        pixels = pixels[None]
    if pixels.shape[0] not in (1, 3):
        pixels = pixels.mean(axis=0, keepdims=True)
    levels = np.rint(np.clip(np.nan_to_num(pixels, nan=0.5), 0, 1) * 255).astype(np.uint8)
    shown = levels[0] if len(levels) == 1 else np.moveaxis(levels, 0, -1)
    file = io.BytesIO()
    Image.fromarray(shown).save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def magnified(
    clean: NDArray[np.floating], other: NDArray[np.floating]
) -> tuple[NDArray[np.float64], int]:
    """Return 0.5 + factor * (other - clean) and the largest round factor that still fits.

    Examples
    --------
    >>> image, factor = magnified(np.zeros((1, 1, 2)), np.array([[[0.0, 8 / 255]]]))
    >>> factor, image.round(3).tolist()
    (10, [[[0.5, 0.814]]])
    """
    change = np.asarray(other, dtype=np.float64) - np.asarray(clean, dtype=np.float64)
    most = float(np.abs(change).max(initial=0.0))
    fitting = [factor for factor in _FACTORS if factor * most <= 0.5]
    factor = fitting[-1] if most and fitting else 1
    return 0.5 + factor * change, factor
