"""Samplers that walk six steps along each of K directions (paper, eq. 8)."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from typing_extensions import override

from bandlimiter.errors import ConfigurationError
from bandlimiter.sampling.base import unit_vectors
from bandlimiter.sampling.isotropic import IsotropicSampler
from bandlimiter.sampling.transfer import sphere_transfer

STEPS = (1 / 3, -1 / 3, 2 / 3, -2 / 3, 1.0, -1.0)
"""Eq. 8's step sizes as multiples of the radius."""


class RandomDirections(IsotropicSampler):
    """The paper's sampler: K independent isotropic unit directions.

    Offsets are ``lambda * v`` with ``lambda`` in {+-r/3, +-2r/3, +-r} and the centre
    (section 3.2). The offsets lie on three spheres, not uniformly in the ball of eq. 5.
    """

    name = "directions"
    steps = STEPS
    centre = True

    @override
    def vectors(self, directions: int, dim: int, rng: torch.Generator) -> torch.Tensor:
        """Draw [K, n] unit vectors; see `Sampler.vectors`."""
        return unit_vectors(directions, dim, rng)

    @override
    def characteristic(self, z: NDArray[np.float64], dim: int) -> NDArray[np.float64]:
        return sphere_transfer(z, 1.0, dim)


class OrthogonalDirections(IsotropicSampler):
    """K isotropic unit directions at right angles to each other.

    Each one is uniform on the sphere, as in `RandomDirections`, and together they are a
    uniformly distributed frame (the Q of a QR decomposition of a normal matrix with signs
    fixed; Mezzadri, "How to generate random matrices from the classical compact groups",
    2007). Needs K <= n.
    """

    name = "orthogonal"
    steps = STEPS
    centre = True

    @override
    def vectors(self, directions: int, dim: int, rng: torch.Generator) -> torch.Tensor:
        """Draw [K, n] orthonormal vectors; see `Sampler.vectors`."""
        self.require_directions(directions, dim)
        normal = torch.randn(dim, directions, generator=rng, dtype=torch.float64)
        q, r = torch.linalg.qr(normal)
        frame: torch.Tensor = q * torch.sign(torch.diagonal(r))
        return frame.T.contiguous()

    @override
    def characteristic(self, z: NDArray[np.float64], dim: int) -> NDArray[np.float64]:
        return sphere_transfer(z, 1.0, dim)

    @override
    def require_directions(self, directions: int, dim: int) -> None:
        super().require_directions(directions, dim)
        if directions > dim:
            raise ConfigurationError(
                f"expected at most {dim} orthogonal directions in {dim} dimensions, got "
                f"{directions}; lower directions or take another sampler"
            )

    @override
    def _two(self, z: NDArray[np.float64], dim: int) -> NDArray[np.float64]:
        # a v - b v' with v at right angles to v' is sqrt(a^2 + b^2) times a uniform unit vector.
        lengths = (math.hypot(a, b) for a in self.steps for b in self.steps)
        return self._sum(lengths, z, dim)
