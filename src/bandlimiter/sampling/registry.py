"""Samplers by name. A new one is a class in this room and a line here."""

from collections.abc import Callable

from bandlimiter.errors import ConfigurationError
from bandlimiter.sampling.base import Sampler
from bandlimiter.sampling.clouds import Gaussian, UniformBall, UniformSphere
from bandlimiter.sampling.directions import OrthogonalDirections, RandomDirections

SAMPLERS: dict[str, Callable[[], Sampler]] = {
    sampler.name: sampler
    for sampler in (RandomDirections, OrthogonalDirections, UniformBall, UniformSphere, Gaussian)
}


def build_sampler(name: str) -> Sampler:
    """Return the sampler called ``name``.

    Raises
    ------
    ConfigurationError
        If there is none; the message lists those there are.
    """
    if name not in SAMPLERS:
        raise ConfigurationError(f"expected a sampler of {', '.join(SAMPLERS)}; got {name!r}")
    return SAMPLERS[name]()
