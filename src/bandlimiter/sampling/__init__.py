"""Where to look around an input: offsets and the laws that they follow."""

from bandlimiter.sampling.base import Sampler
from bandlimiter.sampling.clouds import Gaussian, UniformBall, UniformSphere
from bandlimiter.sampling.directions import OrthogonalDirections, RandomDirections
from bandlimiter.sampling.registry import SAMPLERS, build_sampler

__all__ = [
    "SAMPLERS",
    "Gaussian",
    "OrthogonalDirections",
    "RandomDirections",
    "Sampler",
    "UniformBall",
    "UniformSphere",
    "build_sampler",
]
