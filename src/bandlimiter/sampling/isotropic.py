"""What an isotropic law does to a spectrum: its own draw's filter, and the mean over draws.

Each vector v of the draw contributes g(v) = sum over steps l of exp(i l r w . v). Let phi(z)
be the mean of exp(i w . v) at |w| = z, a real function of the length alone, as every
direction of v is as likely as another. With c = 1 if the centre is a point (else 0), M
vectors and P = c + M len(steps) = 6K + 1 points, T = (c + sum of g) / P, so that

    E T     = (c + M m) / P,                            m  = E g(v)
    E |T|^2 = (c + 2 c M m + M e + M (M - 1) x) / P^2,  e = E |g(v)|^2, x = E g(v) g(v')*

For eq. 8's directions, m and e are sums of sphere transfer functions at multiples of r/3.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable
from operator import index

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from bandlimiter.errors import ConfigurationError
from bandlimiter.sampling.draws import draw_vectors
from bandlimiter.sampling.transfer import (
    frequency_rows,
    require_dim,
    scaled_lengths,
    transfer_of,
)

_Lengths = NDArray[np.float64]


class IsotropicSampler(ABC):
    """A `Sampler` that knows its transfer function; a law gives `vectors` and `characteristic`.

    Frequencies are in radians per unit of the space that the radius is stated in, for
    `PostAverage` the network's normalised input space. Errors are those of `transfer_of`
    and `ball_transfer`, and `ConfigurationError` for a number of directions out of range.
    """

    name: str
    steps: tuple[float, ...]
    centre: bool

    @abstractmethod
    def vectors(self, directions: int, dim: int, rng: torch.Generator) -> torch.Tensor:
        """Draw the vectors: [M, n] float64; see `Sampler.vectors`."""

    @abstractmethod
    def characteristic(self, z: _Lengths, dim: int) -> _Lengths:
        """Return phi, the mean of exp(i w . v) over the law of one vector at |w| = z."""

    def require_directions(self, directions: int, dim: int) -> None:
        """Refuse a number of directions that the law cannot draw in ``dim`` dimensions."""
        if index(directions) < 1:
            raise ConfigurationError(f"expected at least one direction, got {directions}")

    def transfer(
        self,
        frequencies: ArrayLike | torch.Tensor,
        *,
        directions: int = 15,
        radius: float = 1.0,
        seed: int = 0,
    ) -> NDArray[np.complex128]:
        """Return the filter of one fixed draw: the one that `PostAverage` makes of ``seed``.

        Parameters
        ----------
        frequencies
            [F, n] row vectors w.
        directions
            K >= 1.
        radius
            r >= 0.
        seed
            Names the draw.

        Returns
        -------
        numpy.ndarray
            [F] complex128, the mean of exp(i w . offset) over the 6K + 1 points: averaging
            multiplies a transform F(w) by it. Exactly real for directions, whose steps
            come in pairs of opposite sign.
        """
        dim = frequency_rows(frequencies).shape[1]
        self.require_directions(directions, dim)
        vectors = draw_vectors(self, directions, torch.Size([dim]), seed)
        return transfer_of(vectors, self.steps, self.centre, radius, frequencies)

    def expected_transfer(
        self,
        frequency: ArrayLike | torch.Tensor,
        dim: int,
        *,
        directions: int = 15,
        radius: float = 1.0,
    ) -> NDArray[np.float64]:
        """Return the mean over draws of T, real: [...] lengths |w| >= 0 -> [...].

        What fresh draws do on average. A single draw keeps what this mean cancels: see
        `expected_power`.
        """
        z = scaled_lengths(frequency, radius)
        count = self._count(directions, require_dim(dim))
        return (self.centre + count * self._one(z, dim)) / (6 * directions + 1)

    def expected_power(
        self,
        frequency: ArrayLike | torch.Tensor,
        dim: int,
        *,
        directions: int = 15,
        radius: float = 1.0,
    ) -> NDArray[np.float64]:
        """Return the mean over draws of |T|^2: [...] lengths |w| >= 0 -> [...].

        It tends to 1 / (6K + 1) at high frequencies for n >= 2, whatever the sampler: a
        finite number of points scales them down, and does not take them away. On a line
        directions and the sphere stay above it, as cosines do not decay.

        Examples
        --------
        >>> from bandlimiter.sampling import RandomDirections
        >>> float(RandomDirections().expected_power(1e6, dim=3072).round(9)), round(1 / 91, 9)
        (0.010989011, 0.010989011)
        """
        z = scaled_lengths(frequency, radius)
        count = self._count(directions, require_dim(dim))
        differences = (abs(a - b) for a in self.steps for b in self.steps)
        power = self.centre + 2 * self.centre * count * self._one(z, dim)
        power = power + count * self._sum(differences, z, dim)
        power = power + count * (count - 1) * self._two(z, dim)
        return power / (6 * directions + 1) ** 2

    def _one(self, z: _Lengths, dim: int) -> _Lengths:
        """Return m, the mean of one vector's contribution."""
        return self._sum(map(abs, self.steps), z, dim)

    def _two(self, z: _Lengths, dim: int) -> _Lengths:
        """Return x, the mean product of two vectors' contributions; here independent ones."""
        return np.square(self._one(z, dim))

    def _sum(self, lengths: Iterable[float], z: _Lengths, dim: int) -> _Lengths:
        """Sum phi(length * z) over ``lengths``, each different one evaluated once."""
        total = np.zeros_like(z)
        for length, times in Counter(lengths).items():
            total = total + times * self.characteristic(length * z, dim)
        return total

    def _count(self, directions: int, dim: int) -> int:
        """Return M, the number of vectors in 6K + 1 points."""
        self.require_directions(directions, dim)
        return (6 * directions + 1 - self.centre) // len(self.steps)
