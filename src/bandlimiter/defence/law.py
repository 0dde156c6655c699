"""Which law of offsets was asked for, and how long they are: a radius, or sigma in pixels."""

import math
from typing import Literal

import torch
from torch import nn

from bandlimiter.errors import ConfigurationError
from bandlimiter.sampling import InputSampler, RandomDirections, Sampler, build_sampler
from bandlimiter.tensors import is_number


def require_lengths(radius: float | None, sigma: float | None) -> None:
    """Refuse (ConfigurationError) all but one radius, 0 or more, or one sigma above 0."""
    if (radius is None) == (sigma is None):
        raise ConfigurationError(
            "expected either a radius, in the network's normalised input space, or sigma, the "
            f"noise of each pixel in [0, 1]; got {'neither' if radius is None else 'both'}"
        )
    if sigma is not None and not (is_number(sigma) and math.isfinite(sigma) and sigma > 0):
        raise ConfigurationError(f"expected a finite sigma above 0, in pixels, got {sigma!r}")
    if radius is not None and not (is_number(radius) and math.isfinite(radius) and radius >= 0):
        raise ConfigurationError(f"expected a finite radius >= 0, got {radius!r}")


def law_for_sigma(
    sampler: Sampler | InputSampler | str | None,
    scale: float | torch.Tensor | None,
    randomness: str | None,
) -> tuple[Sampler | InputSampler | str, float, Literal["fresh"]]:
    """Return the settings that ``sigma`` implies; refuse others."""
    # Late, as certificates need SciPy and Numba, which take half a second to import.
    from bandlimiter.defence.certificates.radii import RADII

    name = sampler if isinstance(sampler, str) else getattr(sampler, "name", "gaussian")
    if name not in RADII:
        raise ConfigurationError(
            f"expected the sampler {' or '.join(sorted(RADII))} with sigma, got {name!r}, whose "
            "offsets have no standard deviation of each pixel; give a radius"
        )
    if randomness == "fixed":
        raise ConfigurationError(
            "expected randomness='fresh' with sigma, got 'fixed': one draw for all inputs is no "
            "average over noise"
        )
    if scale is not None:
        raise ConfigurationError(
            f"expected no scale with sigma, which is in pixels whatever the normaliser; got {scale}"
        )
    return sampler or "gaussian", 1.0, "fresh"


def resolve_sampler(
    sampler: Sampler | InputSampler | str | None, model: nn.Module
) -> Sampler | InputSampler:
    """Return a sampler by name or as it is; the paper's where None."""
    if sampler is None:
        return RandomDirections()
    if isinstance(sampler, str):
        return build_sampler(sampler, model)
    if isinstance(sampler, type) or not isinstance(sampler, (Sampler, InputSampler)):
        raise ConfigurationError(f"expected a sampler or its name, got {sampler!r}")
    return sampler
