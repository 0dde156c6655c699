"""Where to look around an input: offsets, their laws, and what these do to a spectrum."""

from bandlimiter.sampling.base import Sampler, unit_vectors
from bandlimiter.sampling.clouds import Gaussian, UniformBall, UniformSphere
from bandlimiter.sampling.directions import OrthogonalDirections, RandomDirections
from bandlimiter.sampling.draws import draw_vectors, require_cost
from bandlimiter.sampling.isotropic import IsotropicSampler
from bandlimiter.sampling.registry import SAMPLERS, build_sampler
from bandlimiter.sampling.transfer import ball_transfer, sphere_transfer, transfer_of

__all__ = [
    "SAMPLERS",
    "Gaussian",
    "IsotropicSampler",
    "OrthogonalDirections",
    "RandomDirections",
    "Sampler",
    "UniformBall",
    "UniformSphere",
    "ball_transfer",
    "build_sampler",
    "draw_vectors",
    "require_cost",
    "sphere_transfer",
    "transfer_of",
    "unit_vectors",
]
