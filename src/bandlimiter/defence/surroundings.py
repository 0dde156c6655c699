"""Where a defended model looks: the offsets of its draw around any input."""

import math
from collections.abc import Sequence
from operator import index
from typing import Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn
from typing_extensions import override

from bandlimiter.defence.certificates.radii import RADII, noise_length
from bandlimiter.defence.kept_draw import KeptDraw
from bandlimiter.defence.neighbourhood import Neighbourhood
from bandlimiter.defence.scale import placed, resolve_scale, rms
from bandlimiter.errors import ConfigurationError
from bandlimiter.sampling import (
    InputSampler,
    RandomDirections,
    Sampler,
    build_sampler,
    draw_vectors,
    draw_vectors_at,
    transfer_of,
)
from bandlimiter.sampling.transfer import frequency_rows
from bandlimiter.tensors import Key, is_number, require_module, set_training


class Surroundings(KeptDraw):
    """The part of `PostAverage` that says at which points the model is evaluated.

    Parameters
    ----------
    model, radius, sigma, directions, sampler, scale, seed, randomness
        See `PostAverage`.

    Raises
    ------
    ConfigurationError
        (a ValueError) for settings out of range or unknown names.
    """

    def __init__(
        self,
        model: nn.Module,
        radius: float | None,
        *,
        sigma: float | None,
        directions: int,
        sampler: Sampler | InputSampler | str | None,
        scale: float | torch.Tensor | None,
        seed: int,
        randomness: Literal["fixed", "fresh"] | None,
    ) -> None:
        super().__init__()
        require_module(model)
        require_lengths(radius, sigma)
        if sigma is not None:
            sampler, scale, randomness = _for_sigma(sampler, scale, randomness)
        randomness = randomness or "fixed"
        if not isinstance(directions, (int, np.integer)) or directions < 1:
            raise ConfigurationError(f"expected at least one direction, got {directions!r}")
        if randomness not in ("fixed", "fresh"):
            raise ConfigurationError(f"expected randomness fixed or fresh, got {randomness!r}")
        if not isinstance(seed, (int, np.integer)) or not -(2**63) <= seed < 2**63:
            raise ConfigurationError(f"expected a seed that fits 64 bits, got {seed!r}")
        self._radius = None if radius is None else float(radius)
        self.sigma = None if sigma is None else float(sigma)
        self.seed = int(seed)
        self.randomness: Literal["fixed", "fresh"] = randomness
        self.sampler = _sampler(sampler, model)
        self.directions_count = index(directions)
        self._keep_scale(resolve_scale(model, scale))
        self._scale_read = scale is None
        self.register_buffer("directions", None)

    @override
    def train(self, mode: bool = True) -> Self:
        """Set the mode of this module and its parts; torch.export's modules keep theirs."""
        self.training = mode
        for part in self.children():
            set_training(part, mode)
        return self

    @property
    def evaluations(self) -> int:
        """Evaluations of the network for one answer, 6K + 1."""
        return 6 * self.directions_count + 1

    @property
    def radius(self) -> float:
        """The radius r.

        Raises
        ------
        ConfigurationError
            (a ValueError) with ``sigma``, whose offsets have a length that depends on the input:
            see `radius_at`.
        """
        if self._radius is None:
            raise ConfigurationError(
                f"expected a defence with a radius, got one with sigma={self.sigma:g}, whose "
                "offsets are as long as an input has coordinates: see radius_at(n)"
            )
        return self._radius

    def radius_at(self, dim: int) -> float:
        """Return the radius on inputs of n coordinates; with ``sigma`` in pixels.

        That is sigma sqrt(n), the root-mean-square length of the noise, and for the ball
        sigma sqrt(n + 2).
        """
        return (
            self.radius if self.sigma is None else noise_length(self.sampler.name, self.sigma, dim)
        )

    @property
    def pixel_radius(self) -> float:
        """The radius in the units of x: r times the root-mean-square scale.

        The root-mean-square length in x of isotropic offsets of length r; exactly that of
        each where all channels share one scale.
        """
        return self.radius * rms(self.scale)

    def draw(self, shape: Sequence[int]) -> torch.Tensor:
        """Make the fixed draw for inputs of ``shape`` (without batch) and return it.

        Returns
        -------
        torch.Tensor
            [M, *shape], also kept as ``directions``. Drawn by itself at the first call.

        Raises
        ------
        ConfigurationError
            (a ValueError) for a sampler that looks at the input.
        """
        shape = torch.Size(shape)
        if self.directions is None or self.directions.shape[1:] != shape:
            law = self._law()
            self.directions = draw_vectors(law, self.directions_count, shape, self.seed)
        return self.directions

    def transfer(self, frequencies: ArrayLike | torch.Tensor) -> NDArray[np.complex128]:
        """Return the filter of the fixed draw: by what averaging multiplies plane waves.

        Exact for what is averaged: the logits under the vote ``logits``, the probabilities
        under ``softmax``. The other votes are not linear, and have no filter.

        Parameters
        ----------
        frequencies
            [F, n] row vectors w over the n coordinates of a flattened input, in radians per
            unit of the *normalised* input space: exp(i w . u) with u = normalise(x)
            becomes T(w) exp(i w . u).

        Returns
        -------
        numpy.ndarray
            [F] complex128, the mean of exp(i w . offset) over the 6K + 1 points, the
            sampler's own ``transfer`` at this radius and seed. Uses the kept draw where it
            has n coordinates, and otherwise the draw for n coordinates, without keeping it.

        Raises
        ------
        ConfigurationError
            (a ValueError) for ``randomness="fresh"`` and for a sampler that looks at the
            input, which have no single filter.
        InputError
            (a ValueError) for frequencies that are not [F, n] and finite.
        """
        law = self._law()
        if self.randomness == "fresh":
            raise ConfigurationError(
                "expected randomness='fixed': fresh draws filter each input differently; the "
                "sampler's expected_transfer and expected_power give their means"
            )
        dim = frequency_rows(frequencies).shape[1]
        kept = self.directions
        if kept is None or kept[0].numel() != dim:
            kept = draw_vectors(law, self.directions_count, torch.Size([dim]), self.seed)
        return transfer_of(kept, law.steps, law.centre, self.radius, frequencies)

    def _around(self, x: torch.Tensor, keys: Sequence[Key]) -> Neighbourhood:
        """Return the points around the inputs x [N, ...], whose draws are named by ``keys``."""
        vectors = self._vectors(x, keys)
        radius = self.radius_at(x[0].numel())
        return Neighbourhood(x, vectors, self.sampler, radius, self.scale)

    def _vectors(self, x: torch.Tensor, keys: Sequence[Key]) -> torch.Tensor:
        """Return the draw: [1, M, ...] shared, or [N, M, ...] for each input its own."""
        fixed = self.randomness == "fixed"
        names: list[tuple[Key, ...]] = [() if fixed else ("input", key) for key in keys]
        if isinstance(self.sampler, InputSampler):
            scale = placed(self.scale, x)
            return draw_vectors_at(self.sampler, self.directions_count, x, scale, self.seed, names)
        if fixed:
            self.directions = self.draw(x.shape[1:]).to(x.device)
            return self.directions[None]
        fresh = [
            draw_vectors(self.sampler, self.directions_count, x.shape[1:], self.seed, *name)
            for name in names
        ]
        return torch.stack(fresh).to(x.device)

    def _law(self) -> Sampler:
        """Return the sampler, refused where it looks at the input."""
        if isinstance(self.sampler, InputSampler):
            raise ConfigurationError(
                f"expected a sampler with one draw for all inputs, but {self.sampler.name} finds "
                "its directions at each input and has no single draw or filter; see neighbours(x)"
            )
        return self.sampler

    def _keep_scale(self, scale: float | torch.Tensor) -> None:
        if isinstance(scale, torch.Tensor):  # as a buffer it follows the module's device
            self.register_buffer("scale", scale, persistent=False)
        else:
            self.scale = scale


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


def _for_sigma(
    sampler: Sampler | InputSampler | str | None,
    scale: float | torch.Tensor | None,
    randomness: str | None,
) -> tuple[Sampler | InputSampler | str, float, Literal["fresh"]]:
    """Return the settings that ``sigma`` implies; refuse others."""
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


def _sampler(
    sampler: Sampler | InputSampler | str | None, model: nn.Module
) -> Sampler | InputSampler:
    if sampler is None:
        return RandomDirections()
    if isinstance(sampler, str):
        return build_sampler(sampler, model)
    if isinstance(sampler, type) or not isinstance(sampler, (Sampler, InputSampler)):
        raise ConfigurationError(f"expected a sampler or its name, got {sampler!r}")
    return sampler
