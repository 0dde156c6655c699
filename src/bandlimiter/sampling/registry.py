"""Samplers by name. A new one is a class in this room and a line here."""

from collections.abc import Callable
from typing import overload

from torch import nn

from bandlimiter.errors import ConfigurationError
from bandlimiter.sampling.base import InputSampler, Sampler
from bandlimiter.sampling.clouds import Gaussian, UniformBall, UniformSphere
from bandlimiter.sampling.directions import OrthogonalDirections, RandomDirections

SAMPLERS: dict[str, Callable[[], Sampler]] = {
    sampler.name: sampler
    for sampler in (RandomDirections, OrthogonalDirections, UniformBall, UniformSphere, Gaussian)
}
"""Laws of offsets, the same around every input."""


def _boundary(model: nn.Module) -> InputSampler:
    from bandlimiter.sampling.boundary import BoundaryDirections  # late, as geometry is large

    return BoundaryDirections(model)


INPUT_SAMPLERS: dict[str, Callable[[nn.Module], InputSampler]] = {"boundary": _boundary}
"""Samplers that look at the input; each is made for a network."""


@overload
def build_sampler(name: str) -> Sampler: ...
@overload
def build_sampler(name: str, model: nn.Module) -> Sampler | InputSampler: ...
def build_sampler(name: str, model: nn.Module | None = None) -> Sampler | InputSampler:
    """Return the sampler called ``name``.

    Parameters
    ----------
    name
        Of `SAMPLERS`, or of `INPUT_SAMPLERS` where there is a model.
    model
        The network whose inputs will be looked at.

    Raises
    ------
    ConfigurationError
        If there is none; the message lists those there are.
    """
    if name in SAMPLERS:
        return SAMPLERS[name]()
    if model is None:
        known, why = SAMPLERS.keys(), " (it looks at inputs)" if name in INPUT_SAMPLERS else ""
        raise ConfigurationError(f"expected a sampler of {', '.join(known)}; got {name!r}{why}")
    if name not in INPUT_SAMPLERS:
        known_all = ", ".join((*SAMPLERS, *INPUT_SAMPLERS))
        raise ConfigurationError(f"expected a sampler of {known_all}; got {name!r}")
    return INPUT_SAMPLERS[name](model)
