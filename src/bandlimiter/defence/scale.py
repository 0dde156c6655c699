"""From the network's input space, where the radius lives, to the units of x."""

import math
from collections.abc import Sequence

import torch
from torch import nn

from bandlimiter.defence.normalising import require_pixels_first
from bandlimiter.errors import ConfigurationError
from bandlimiter.tensors import find_normaliser


def resolve_scale(model: nn.Module, scale: float | torch.Tensor | None) -> float | torch.Tensor:
    """Return the factor between an offset in normalised space and the same offset in x.

    ``normalise(x + l v std) = normalise(x) + l v`` exactly, so the factor is the
    normaliser's std, where that layer takes x itself.

    Parameters
    ----------
    model
        Searched for our normaliser layer where ``scale`` is None.
    scale
        None, a positive number, or a positive tensor that broadcasts against x.

    Raises
    ------
    ConfigurationError
        (a ValueError) if ``scale`` is None and the model has no `Normalise` layer of its
        own, or one that does not take the pixels as they are (see `require_pixels_first`); or
        if a factor is not positive and finite.
    """
    if scale is None:
        normaliser = find_normaliser(model)
        if normaliser is None:
            raise ConfigurationError(
                "expected a model with exactly one bandlimiter Normalise layer to read the scale "
                "from, found none or several; give scale (the normaliser's std, a number or a "
                "tensor that broadcasts against x), or scale=1.0 for a radius in the units of x"
            )
        require_pixels_first(model, normaliser)
        return normaliser.std.detach().clone()
    if not isinstance(scale, (int, float, torch.Tensor)):
        raise ConfigurationError(
            f"expected scale as a number or a tensor, got {scale!r}; for one value a channel give "
            "torch.tensor(values).view(-1, 1, 1)"
        )
    factor = torch.as_tensor(scale)
    if not bool(((factor > 0) & torch.isfinite(factor)).all()):
        raise ConfigurationError(f"expected a positive, finite scale, got {scale}")
    return scale.detach().clone() if isinstance(scale, torch.Tensor) else float(scale)


def require_scale_fits(model: nn.Module, shape: Sequence[int]) -> None:
    """Refuse (ConfigurationError) a scale that was read off for inputs [N, *shape] that change it.

    Such as images that the model scales to another size before its normaliser.
    """
    normaliser = find_normaliser(model)
    if normaliser is not None:
        require_pixels_first(model, normaliser, shape)


def placed(scale: float | torch.Tensor, x: torch.Tensor) -> float | torch.Tensor:
    """Put the scale where x is, and refuse one that does not broadcast against x."""
    if not isinstance(scale, torch.Tensor):
        return scale
    try:
        fits = torch.broadcast_shapes(scale.shape, x.shape) == x.shape  # type: ignore[no-untyped-call]
    except RuntimeError:
        fits = False
    if not fits:
        raise ConfigurationError(
            f"expected a scale that broadcasts against inputs of shape {tuple(x.shape)}, got "
            f"{tuple(scale.shape)}; one value a channel has shape (channels, 1, 1)"
        )
    return scale.to(x.device, torch.promote_types(x.dtype, torch.float32))


def rms(scale: float | torch.Tensor) -> float:
    """Root-mean-square factor: the length in x of an isotropic offset of length one."""
    if isinstance(scale, torch.Tensor):
        return math.sqrt(float(scale.double().square().mean()))
    return scale
