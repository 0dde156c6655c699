"""Squeezed inputs: fewer levels a pixel, or a pass through JPEG, before the model looks.

Neither has a useful derivative. Their backward pass is the identity, as an attacker who knows
them takes it (BPDA: Athalye, Carlini and Wagner, "Obfuscated gradients give a false sense of
security", 2018): a squeezed image is close to the image.
"""

import io
from abc import ABC, abstractmethod

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn
from typing_extensions import override

from bandlimiter.errors import ConfigurationError, InputError
from bandlimiter.tensors import model_logits, require_inputs


class _Squeezed(nn.Module, ABC):
    """A model behind a map of pixels to pixels that attackers differentiate as the identity."""

    evaluations = 1

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the model's logits at the squeezed inputs: [N, ...] pixels -> [N, classes].

        Raises
        ------
        InputError
            (a ValueError) for an empty batch, an integer dtype, NaN, inputs of a form that
            `squeeze` refuses, and for NaN or +inf in the logits.
        """
        require_inputs(x)
        fixed = x.detach()
        # x - fixed is exactly zero, so that the value is squeeze's to the last bit.
        return model_logits(self.model, self.squeeze(fixed) + (x - fixed))

    @abstractmethod
    def squeeze(self, x: torch.Tensor) -> torch.Tensor:
        """Return the images that the model sees, like x [N, ...]; without a gradient."""


class BitDepth(_Squeezed):
    """A classifier that sees pixels of 2^bits levels (feature squeezing).

    ``round(x (2^b - 1)) / (2^b - 1)``: Xu, Evans and Qi, "Feature squeezing", NDSS 2018, which
    found 5 bits a fair choice for CIFAR-10. There it serves a detector; here it stands alone.

    Parameters
    ----------
    model
        Takes pixels [N, ...] and returns logits, as for `PostAverage`.
    bits
        1 ... 8; 8 is the depth of a stored image.

    Attributes
    ----------
    evaluations
        Of the model for one answer, 1.

    Raises
    ------
    ConfigurationError
        (a ValueError) for bits out of range.

    Notes
    -----
    Pixels beyond [0, 1] saturate.

    Examples
    --------
    >>> import torch
    >>> squeezed = BitDepth(torch.nn.Linear(4, 2), bits=2)
    >>> squeezed.squeeze(torch.tensor([[0.0, 0.3, 0.6, 1.2]]))
    tensor([[0.0000, 0.3333, 0.6667, 1.0000]])
    """

    def __init__(self, model: nn.Module, bits: int = 5) -> None:
        super().__init__(model)
        if not isinstance(bits, int) or not 1 <= bits <= 8:
            raise ConfigurationError(f"expected bits from 1 to 8, got {bits!r}")
        self.bits = bits

    @override
    def squeeze(self, x: torch.Tensor) -> torch.Tensor:
        steps = 2**self.bits - 1
        levels: torch.Tensor = torch.round(x.detach().clamp(0, 1) * steps) / steps
        return levels

    @override
    def extra_repr(self) -> str:
        return f"bits={self.bits}"


class Jpeg(_Squeezed):
    """A classifier that sees images compressed and decompressed as JPEG.

    Das et al., "Shield", KDD 2018; Guo et al., "Countering adversarial images using input
    transformations", ICLR 2018 (quality 75). Pillow's defaults otherwise: colour at half
    resolution, its own tables.

    Parameters
    ----------
    model
        Takes pixels [N, C, H, W] with 1 or 3 channels and returns logits, as for
        `PostAverage`.
    quality
        1 ... 95, as Pillow counts.

    Attributes
    ----------
    evaluations
        Of the model for one answer, 1.

    Raises
    ------
    ConfigurationError
        (a ValueError) for a quality out of range.

    Notes
    -----
    Images go through Pillow one by one on the CPU, rounded to 8 bits; pixels beyond [0, 1]
    saturate.
    """

    def __init__(self, model: nn.Module, quality: int = 75) -> None:
        super().__init__(model)
        if not isinstance(quality, int) or not 1 <= quality <= 95:
            raise ConfigurationError(f"expected a JPEG quality from 1 to 95, got {quality!r}")
        self.quality = quality

    @override
    def squeeze(self, x: torch.Tensor) -> torch.Tensor:
        if x.ndim != 4 or x.shape[1] not in (1, 3):
            raise InputError(
                f"expected images [N, C, H, W] with 1 or 3 channels for JPEG, got {tuple(x.shape)}"
            )
        stored = torch.round(x.detach().clamp(0, 1) * 255).to("cpu", torch.uint8)
        seen = [_through_jpeg(image, self.quality) for image in stored.movedim(1, -1).numpy()]
        pixels = torch.from_numpy(np.stack(seen)).movedim(-1, 1).to(x.device, x.dtype)
        return pixels / 255

    @override
    def extra_repr(self) -> str:
        return f"quality={self.quality}"


def _through_jpeg(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """[H, W, C] -> [H, W, C]."""
    file = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(
        file, "JPEG", quality=quality
    )
    file.seek(0)
    return np.asarray(Image.open(file)).reshape(image.shape)
