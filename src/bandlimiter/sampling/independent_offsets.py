"""Samplers whose 6K + 1 offsets are independent draws of one law, without the centre."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from typing_extensions import override

from bandlimiter.sampling.base import unit_vectors
from bandlimiter.sampling.isotropic import IsotropicSampler
from bandlimiter.sampling.transfer import ball_transfer, sphere_transfer


class UniformBall(IsotropicSampler):
    """Offsets uniform in the ball of radius r: the average that eq. 5 writes as an integral.

    The mean over draws is the ball average whose transfer function the paper derives.
    """

    name = "ball"
    steps = (1.0,)
    centre = False

    @override
    def vectors(self, directions: int, dim: int, rng: torch.Generator) -> torch.Tensor:
        """Draw [6K + 1, n] points of the unit ball; see `Sampler.vectors`."""
        count = 6 * directions + 1
        # The volume within |v| <= s is s^n, so s = u^(1/n) with u uniform.
        uniform = torch.rand(count, 1, generator=rng, dtype=torch.float64)
        lengths = uniform.pow(1 / dim)
        return lengths * unit_vectors(count, dim, rng)

    @override
    def characteristic(self, z: NDArray[np.float64], dim: int) -> NDArray[np.float64]:
        return ball_transfer(z, 1.0, dim)


class UniformSphere(IsotropicSampler):
    """Offsets uniform on the sphere of radius r."""

    name = "sphere"
    steps = (1.0,)
    centre = False

    @override
    def vectors(self, directions: int, dim: int, rng: torch.Generator) -> torch.Tensor:
        """Draw [6K + 1, n] unit vectors; see `Sampler.vectors`."""
        return unit_vectors(6 * directions + 1, dim, rng)

    @override
    def characteristic(self, z: NDArray[np.float64], dim: int) -> NDArray[np.float64]:
        return sphere_transfer(z, 1.0, dim)


class Gaussian(IsotropicSampler):
    """Normal offsets with standard deviation r / sqrt(n) a coordinate.

    Matched norm: the root-mean-square length is r, that of the sphere (and, for large n,
    of the ball), so that equal radii compare equal amounts of noise.
    """

    name = "gaussian"
    steps = (1.0,)
    centre = False

    @override
    def vectors(self, directions: int, dim: int, rng: torch.Generator) -> torch.Tensor:
        """Draw [6K + 1, n] normal vectors of mean square length one; see `Sampler.vectors`."""
        count = 6 * directions + 1
        normal = torch.randn(count, dim, generator=rng, dtype=torch.float64)
        return normal / math.sqrt(dim)

    @override
    def characteristic(self, z: NDArray[np.float64], dim: int) -> NDArray[np.float64]:
        with np.errstate(over="ignore"):  # exp(-inf) = 0 is right
            return np.exp(-np.square(z) / (2 * dim))
