"""Where to look around an input: offsets, their laws, and what these do to a spectrum."""

from importlib import import_module
from typing import TYPE_CHECKING

from bandlimiter.sampling.base import AnySampler, InputSampler, Sampler, unit_vectors
from bandlimiter.sampling.directions import OrthogonalDirections, RandomDirections
from bandlimiter.sampling.draws import draw_vectors, draw_vectors_at, require_cost
from bandlimiter.sampling.independent_offsets import Gaussian, UniformBall, UniformSphere
from bandlimiter.sampling.isotropic import IsotropicSampler
from bandlimiter.sampling.known_samplers import (
    INPUT_SAMPLERS,
    SAMPLERS,
    build_sampler,
    register_sampler,
)
from bandlimiter.sampling.transfer import ball_transfer, sphere_transfer, transfer_of

if TYPE_CHECKING:
    from bandlimiter.sampling.boundary import BoundaryDirections, NearestBoundaries

__all__ = [
    "INPUT_SAMPLERS",
    "SAMPLERS",
    "AnySampler",
    "BoundaryDirections",
    "Gaussian",
    "InputSampler",
    "IsotropicSampler",
    "NearestBoundaries",
    "OrthogonalDirections",
    "RandomDirections",
    "Sampler",
    "UniformBall",
    "UniformSphere",
    "ball_transfer",
    "build_sampler",
    "draw_vectors",
    "draw_vectors_at",
    "register_sampler",
    "require_cost",
    "sphere_transfer",
    "transfer_of",
    "unit_vectors",
]

_BOUNDARY = ("BoundaryDirections", "NearestBoundaries")


def __getattr__(name: str) -> object:
    # Late, so that those who draw at random do not wait for the whole of geometry.
    if name not in _BOUNDARY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("bandlimiter.sampling.boundary"), name)
