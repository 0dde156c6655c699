"""Where a defended model looks: the offsets of its draw around any input."""

from collections.abc import Callable, MutableMapping, Sequence
from operator import index
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn
from typing_extensions import override

from bandlimiter.defence.law import law_for_sigma, require_lengths, resolve_sampler
from bandlimiter.defence.neighbourhood import Neighbourhood
from bandlimiter.defence.scale import placed, resolve_scale, rms
from bandlimiter.errors import ConfigurationError
from bandlimiter.sampling import (
    InputSampler,
    Sampler,
    draw_vectors,
    draw_vectors_at,
    require_cost,
    transfer_of,
)
from bandlimiter.sampling.transfer import frequency_rows
from bandlimiter.tensors import Key

_PART = "offsets."
_STATE = ("directions", "seed", "radius", "sigma")
"""Entries of a state dict; they stand among those of the module that has the offsets."""


class Offsets(nn.Module):
    """A law, its length and scale, and a draw of it: the points around an input.

    The module that has it calls it ``offsets``, and hands it its entries with `claim_state` before
    a state is loaded. Moved with that module and never cast, so that every dtype uses the same
    offsets.

    Parameters
    ----------
    model
        Around which it is: gives the scale where none is given, and an `InputSampler` the network.
    radius, sigma, directions, sampler, scale, seed, randomness
        See `PostAverage`.

    Attributes
    ----------
    sampler
        The law.
    directions
        K.
    sigma
        In pixels; None with a radius.
    scale
        From offsets of the network's input space to the units of x.
    scale_read
        Whether that was read from the model's normaliser.
    seed, randomness
        See `PostAverage`.
    drawn
        [M, ...] the fixed draw's vectors, once there is one.

    Raises
    ------
    ConfigurationError
        (a ValueError) for settings out of range or unknown names.
    """

    scale: float | torch.Tensor
    drawn: torch.Tensor | None

    def __init__(
        self,
        model: nn.Module,
        radius: float | None,
        *,
        sigma: float | None = None,
        directions: int = 15,
        sampler: Sampler | InputSampler | str | None = None,
        scale: float | torch.Tensor | None = None,
        seed: int = 0,
        randomness: Literal["fixed", "fresh"] | None = None,
    ) -> None:
        super().__init__()
        self.training = False  # it has no mode: unset, it must not pass for a part in training
        require_lengths(radius, sigma)
        if sigma is not None:
            sampler, scale, randomness = law_for_sigma(sampler, scale, randomness)
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
        self.sampler = resolve_sampler(sampler, model)
        self.directions = index(directions)
        found = resolve_scale(model, scale)
        if isinstance(found, torch.Tensor):  # as a buffer it follows the module's device
            self.register_buffer("scale", found, persistent=False)
        else:
            self.scale = found
        self.scale_read = scale is None
        self.register_buffer("drawn", None, persistent=False)

    @property
    def evaluations(self) -> int:
        """Evaluations of the network for one answer, 6K + 1."""
        return 6 * self.directions + 1

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
        if self.sigma is None:
            return self.radius
        # Late, as certificates need SciPy and Numba, which take half a second to import.
        from bandlimiter.defence.certificates.radii import noise_length

        return noise_length(self.sampler.name, self.sigma, dim)

    @property
    def pixel_radius(self) -> float:
        """The radius in the units of x: r times the root-mean-square scale.

        The root-mean-square length in x of isotropic offsets of length r; exactly that of
        each where all channels share one scale.
        """
        return self.radius * rms(self.scale)

    @property
    def shared(self) -> bool:
        """Whether all inputs have one draw."""
        return self.randomness == "fixed" and not isinstance(self.sampler, InputSampler)

    def draw(self, shape: Sequence[int], *stream: Key) -> torch.Tensor:
        """Make the fixed draw for inputs of ``shape`` (without batch), keep it and return it.

        ``stream`` names one of its own, beside that of the seed alone.
        """
        shape = torch.Size(shape)
        if self.drawn is None or self.drawn.shape[1:] != shape:
            self.drawn = draw_vectors(self._law(), self.directions, shape, self.seed, *stream)
        return self.drawn

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
        kept = self.drawn
        if kept is None or kept[0].numel() != dim:
            kept = draw_vectors(law, self.directions, torch.Size([dim]), self.seed)
        return transfer_of(kept, law.steps, law.centre, self.radius, frequencies)

    def around(self, x: torch.Tensor, keys: Sequence[Key]) -> Neighbourhood:
        """Return the points around the inputs x [N, ...], whose draws are named by ``keys``."""
        vectors = self._vectors(x, keys)
        return Neighbourhood(x, vectors, self.sampler, self.radius_at(x[0].numel()), self.scale)

    def _vectors(self, x: torch.Tensor, keys: Sequence[Key]) -> torch.Tensor:
        """Return the draw: [1, M, ...] shared, or [N, M, ...] for each input its own."""
        fixed = self.randomness == "fixed"
        names: list[tuple[Key, ...]] = [() if fixed else ("input", key) for key in keys]
        if isinstance(self.sampler, InputSampler):
            scale = placed(self.scale, x)
            return draw_vectors_at(self.sampler, self.directions, x, scale, self.seed, names)
        if fixed:
            self.drawn = self.draw(x.shape[1:]).to(x.device)
            return self.drawn[None]
        fresh = [
            draw_vectors(self.sampler, self.directions, x.shape[1:], self.seed, *name)
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

    @override
    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> "Offsets":
        before = {name: self._buffers[name] for name in ("drawn", "scale") if name in self._buffers}
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, buffer in before.items():
            moved = self._buffers[name]
            if buffer is not None and moved is not None:
                self._buffers[name] = buffer.to(moved.device)
        return self

    @override
    def _save_to_state_dict(
        self, destination: MutableMapping[str, Any], prefix: str, keep_vars: bool
    ) -> None:
        owner = prefix.removesuffix(_PART)
        if self.drawn is not None:
            destination[f"{owner}directions"] = self.drawn
        # Tensors, so that any format of checkpoints holds them; float64, so that no
        # .half() of the module can round the radius.
        for name, value in (("radius", self._radius), ("sigma", self.sigma)):
            if value is not None:
                destination[owner + name] = torch.tensor(value, dtype=torch.float64)
        destination[f"{owner}seed"] = torch.tensor(self.seed, dtype=torch.int64)

    @override
    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        found = {name: state_dict.pop(prefix + name, None) for name in _STATE}
        own, other = ("radius", "sigma") if self.sigma is None else ("sigma", "radius")
        if found[other] is not None:
            raise ConfigurationError(
                f"expected the state of a defence with a {own}, got one with "
                f"{'sigma' if own == 'radius' else 'a radius'}; make the defence as it was made "
                "that was saved"
            )
        self._radius = self._radius if found["radius"] is None else float(found["radius"])
        self.sigma = self.sigma if found["sigma"] is None else float(found["sigma"])
        self.seed = self.seed if found["seed"] is None else int(found["seed"])
        self.drawn = self._fitting(found["directions"])
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def _fitting(self, saved: torch.Tensor | None) -> torch.Tensor | None:
        """Return a copy of a saved draw; refuse one of another law or number of directions."""
        if saved is None:
            return None
        if isinstance(self.sampler, InputSampler):
            raise ConfigurationError(
                f"expected a state without directions, as the sampler {self.sampler.name} "
                f"finds them at each input; got {len(saved)}, saved with another sampler"
            )
        require_cost(self.sampler, self.directions, len(saved))
        return saved.detach().clone()


def claim_state(state_dict: MutableMapping[str, Any], prefix: str) -> None:
    """Hand the entries of a module with offsets to these, as PyTorch's loading then finds them."""
    for name in _STATE:
        if prefix + name in state_dict:
            state_dict[prefix + _PART + name] = state_dict.pop(prefix + name)
