r"""Noise on a lattice: with it a certificate is true in the arithmetic that runs.

The theorems behind certificates speak of real numbers. In floating point the points x + N and
x' + N that can be reached from two inputs differ in their last bits, a network can tell them
apart, and a certificate that is computed as if they were real numbers can be false (Jin et al.
2022, arXiv:2205.10187). The way out is that of Voracek and Hein (ICLR 2023).

**The identity.** Let h be the lattice's step, Q(y) = h floor(y / h + 1/2) for each coordinate, and
N real noise. For x on the lattice (h Z)^n, ::

    x + Q(N) = Q(x + N),

since floor(z + m) = floor(z) + m for every integer m. (Rounding halves to even would break it:
round(1/2) + 1 = 1 and round(3/2) = 2.) So what the network is given is Q of a point of the *real*
smoothing, and the theorem holds, exactly, for the classifier g(y) = network(Q(y)): within the
radius, at every x' of the lattice, the average of g keeps its label. Sums are of integers; they
are saturated at 2^24, up to where float32 holds all integers, and only then divided into pixels:
saturation and division are part of the network.

**Inputs off the lattice** are rounded first. An x that is moved by d has its certificate at Q(x): R
there covers R - d around x. An x' off the lattice is moved by sqrt(n) h / 2 at most, and is covered
within R less that much. 8-bit images are on the lattice, as h divides 1/255.

**The sampler's law.** What is drawn is not exactly the law of Q(N). Let eps bound the total
variation between both for one whole vector. Then the probability p of any set of answers differs
from the drawn one by eps at most, whatever the number of samples: to test p <= q it is enough to
test the drawn one against q + eps. Gaussian coordinates are independent, so each integer is drawn
by itself from a table of cell probabilities (Walker's alias method, in integers: the drawn law is
a known multiple of 2^-63, if the 63 bits are uniform), and eps is n times the error of that table.
For float32 normals the same sum over coordinates is 0.005 to 0.04 at n = 3,072: too much.

Assumed: bits that are uniform and independent (PCG64 DXSM, or Philox on a GPU); nothing else.
"""

import math
from functools import lru_cache
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.polynomial.legendre import leggauss
from numpy.typing import NDArray

from bandlimiter.errors import ConfigurationError
from bandlimiter.tensors import Key, generator
from bandlimiter.tensors.compiled import compiled

_BITS = 63
_TAIL = 9.5
"""Standard deviations that a table covers: beyond them lies 2e-21."""

_COARSEST, _FINEST = 4, 12
"""Binary digits of a lattice beyond those of 8-bit pixels."""

_CELLS = 4
"""The fewest steps of the lattice in a standard deviation."""

_LARGEST = 8.0
"""Standard deviation for which a table still fits into a processor's cache."""

_MOST = 2**24
"""Up to here float32 holds all integers."""


class Lattice(NamedTuple):
    """The points h Z, with h = 1 / ``steps`` in the units of x.

    Examples
    --------
    >>> lattice = Lattice(4080)
    >>> numbers, moved = lattice.round(torch.tensor([[0.2, 1.0], [0.2001, 1.0]]))
    >>> numbers.tolist(), moved.gt(0).tolist()
    ([[816, 4080], [816, 4080]], [False, True])
    """

    steps: int

    def round(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the numbers of the nearest points, and how far each input was moved.

        Parameters
        ----------
        x
            [N, ...] floating point, |x| < 2^24 / steps.

        Returns
        -------
        numbers, moved
            [N, ...] int32 and [N] float64. An input whose values are the float32 or float64
            numbers nearest to points of the lattice counts as on it, and is not moved.
        """
        real = x.double()
        numbers = torch.floor(real * self.steps + 0.5)
        if bool((numbers.abs() >= _MOST).any()):
            raise ConfigurationError(
                f"expected inputs of less than {_MOST / self.steps:g} in size for noise on a "
                f"lattice of 1/{self.steps}, got {float(x.abs().max()):g}; give pixels in [0, 1]"
            )
        points = numbers / torch.tensor(self.steps, dtype=torch.float64, device=x.device)
        # Half precision is coarser than the lattice: its nearest number to a point is not it.
        on = (points == real) | (points.float().double() == real)
        off = torch.where(on, 0, points - real)
        return numbers.to(torch.int32), torch.linalg.vector_norm(off.flatten(1), dim=1)

    def points(self, numbers: torch.Tensor) -> torch.Tensor:
        """Return the points with these numbers, saturated: int32 -> float32."""
        # Not by a Python number: GPUs then multiply by its reciprocal, which is rounded.
        steps = torch.tensor(self.steps, dtype=torch.float32, device=numbers.device)
        return numbers.clamp(-_MOST, _MOST).to(torch.float32).div_(steps)


class Stream(NamedTuple):
    """Where random bits come from: the same name gives the same ones, on one kind of device."""

    seed: int
    name: tuple[Key, ...]
    device: torch.device

    def bits(self) -> np.random.PCG64DXSM:
        """Return a source of 64 bits at a time, for the CPU."""
        return np.random.PCG64DXSM(self._number())

    def generator(self) -> torch.Generator:
        """Return a generator on a GPU; the CPU's would take 32 bits of the name alone."""
        return torch.Generator(self.device).manual_seed(self._number())

    def variates(self, count: int, dim: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return normal [count, n] and uniform [count, 1] variates in float64."""
        if self.device.type == "cpu":
            source = np.random.Generator(self.bits())
            normal, uniform = source.standard_normal((count, dim)), source.random((count, 1))
            return torch.from_numpy(normal), torch.from_numpy(uniform)
        rng, real = self.generator(), torch.float64
        return (
            torch.randn(count, dim, generator=rng, dtype=real, device=self.device),
            torch.rand(count, 1, generator=rng, dtype=real, device=self.device),
        )

    def _number(self) -> int:
        return generator(self.seed, "certify", *self.name).initial_seed() % 2**64


class Noise(Protocol):
    """Noise of a known law, rounded to a lattice.

    Attributes
    ----------
    name
        Of the law, as samplers are called.
    sigma
        The standard deviation of a coordinate, in the units of x.
    lattice
        What it is rounded to.
    """

    name: str
    sigma: float
    lattice: Lattice

    def epsilon(self, dim: int) -> float:
        """Bound the total variation between the law of an n-vector that is drawn, and the true."""
        ...

    def around(self, numbers: torch.Tensor, count: int, stream: Stream) -> torch.Tensor:
        """Return noisy points around one of the lattice: numbers [n] -> [count, n] float32.

        Drawn where they are needed, on the stream's device.
        """
        ...


class GaussianNoise:
    """Normal noise of standard deviation ``sigma`` for each coordinate."""

    name = "gaussian"

    def __init__(self, sigma: float) -> None:
        self.sigma = sigma
        self.lattice = lattice_for(sigma)

    def epsilon(self, dim: int) -> float:
        """See `Noise`: n times the error of a coordinate.

        That adds up the rounding of C cell probabilities to multiples of 2^-62, at most C 2^-63;
        half of the mean relative error of a cell's probability in float64, which is below 8e-15
        (16 points of Gauss and Legendre for at most a quarter of sigma; cells far out are less
        exact, and hardly count); and the tails beyond the table.
        """
        table = _table(self.sigma * self.lattice.steps)
        tail = math.erfc(_TAIL / math.sqrt(2))
        return dim * (len(table.own) * 2.0**-63 + 4e-15 + tail)

    def around(self, numbers: torch.Tensor, count: int, stream: Stream) -> torch.Tensor:
        """See `Noise`."""
        if stream.device.type != "cpu":
            shape = count, len(numbers)
            bits = torch.empty(shape, dtype=torch.int64, device=stream.device)
            drawn = self.look_up(bits.random_(generator=stream.generator()))
            return self.lattice.points(drawn.add_(numbers))
        out = np.empty((count, len(numbers)), dtype=np.float32)
        table = _table(self.sigma * self.lattice.steps)
        _fill(stream.bits().random_raw(out.size), table, numbers.numpy(), self.lattice.steps, out)
        return torch.from_numpy(out)

    def look_up(self, bits: torch.Tensor) -> torch.Tensor:
        """Return what 63 uniform bits stand for: [...] int64 >= 0 -> [...] int32."""
        shift, threshold, own, other = _table_on(self.sigma * self.lattice.steps, bits.device)
        place, rest = bits >> shift, bits & ((1 << shift) - 1)
        return torch.where(rest < threshold[place], own[place], other[place])


class BallNoise:
    """Noise that is uniform in the ball of radius sigma sqrt(n + 2), rounded to a lattice.

    Its coordinates have the standard deviation ``sigma`` each, and are not independent.
    """

    name = "ball"

    def __init__(self, sigma: float) -> None:
        self.sigma = sigma
        self.lattice = lattice_for(sigma)

    def epsilon(self, dim: int) -> float:
        """See `Noise`.

        A vector is computed in float64, each coordinate to a relative error of 2^-48 or less. One
        of size |c| steps is then rounded to another number with probability 2^-47 |c| or less,
        |c| being sigma on average at most, and the float64 variates that it is made of have the
        law of reals rounded to 2^-53: taken together, n (sigma / h + 1) 2^-46.
        """
        return dim * (self.sigma * self.lattice.steps + 1) * 2.0**-46

    def around(self, numbers: torch.Tensor, count: int, stream: Stream) -> torch.Tensor:
        """See `Noise`."""
        dim = len(numbers)
        normal, uniform = stream.variates(count, dim)
        radius = self.sigma * math.sqrt(dim + 2) * self.lattice.steps
        lengths = torch.linalg.vector_norm(normal, dim=1, keepdim=True)
        normal *= radius * uniform.pow(1 / dim) / lengths
        return self.lattice.points(torch.floor(normal + 0.5).to(torch.int32).add_(numbers))


def lattice_for(sigma: float) -> Lattice:
    """Return the lattice of noise of a standard deviation: 2^4 points to a step of 8-bit pixels.

    More where sigma is less than four of these.

    Raises
    ------
    ConfigurationError
        For a sigma that is no number of [4 / (255 * 2^12), 8].
    """
    smallest = _CELLS / (255 * 2**_FINEST)
    if not smallest <= float(sigma) <= _LARGEST:
        raise ConfigurationError(
            f"expected sigma from {smallest:.2g} to {_LARGEST:g} for noise on a lattice, in pixels "
            f"of [0, 1]; got {sigma:g}"
        )
    digits = math.ceil(math.log2(_CELLS / (255 * sigma)))
    return Lattice(255 * 2 ** max(_COARSEST, digits))


class _Table(NamedTuple):
    """Walker's alias table.

    A place is hit with probability 2^(shift - 63), and stands for its own number where the other
    bits are below its threshold, else for another.
    """

    shift: int
    threshold: NDArray[np.int64]
    own: NDArray[np.int32]
    other: NDArray[np.int32]


def cell_probabilities(sigma: float) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Return the numbers that a rounded normal variate of ``sigma`` steps takes, and how often.

    Examples
    --------
    >>> numbers, chances = cell_probabilities(4.0)
    >>> int(numbers[0]), float(chances.max().round(6)), float(chances.sum().round(12))
    (-38, 0.099476, 1.0)
    """
    most = math.ceil(_TAIL * sigma)
    numbers = np.arange(-most, most + 1)
    nodes, weights = leggauss(16)
    z = (numbers[:, None] + nodes / 2) / sigma
    chances = np.exp(-np.square(z) / 2) @ weights / (2 * sigma * math.sqrt(2 * math.pi))
    return numbers.astype(np.int32), chances


@lru_cache(maxsize=8)
def _table(sigma: float) -> _Table:
    numbers, chances = cell_probabilities(sigma)
    shares = [int(share) for share in np.rint(np.ldexp(chances, _BITS - 1))]
    shares = [2 * share for share in shares]  # 2^63 itself is beyond int64
    shares[len(shares) // 2] += 2**_BITS - sum(shares)
    places = 1 << (len(shares) - 1).bit_length()
    shift = _BITS - (places.bit_length() - 1)
    shares += [0] * (places - len(shares))
    own = np.zeros(places, dtype=np.int32)
    own[: len(numbers)] = numbers
    threshold, other = np.full(places, 1 << shift, dtype=np.int64), own.copy()
    few = [place for place in range(places) if shares[place] < 1 << shift]
    many = [place for place in range(places) if shares[place] > 1 << shift]
    while few:  # exact in integers: as long as one lacks something, another has too much
        place, giver = few.pop(), many[-1]
        threshold[place], other[place] = shares[place], own[giver]
        shares[giver] -= (1 << shift) - shares[place]
        if shares[giver] <= 1 << shift:
            many.pop()
            if shares[giver] < 1 << shift:
                few.append(giver)
    return _Table(shift, threshold, own, other)


@lru_cache(maxsize=8)
def _table_on(
    sigma: float, device: torch.device
) -> tuple[int, torch.Tensor, torch.Tensor, torch.Tensor]:
    table = _table(sigma)
    columns = (table.threshold, table.own, table.other)
    threshold, own, other = (torch.from_numpy(column).to(device) for column in columns)
    return table.shift, threshold, own, other


@compiled
def _fill(
    bits: NDArray[np.uint64],
    table: _Table,
    numbers: NDArray[np.int32],
    steps: int,
    out: NDArray[np.float32],
) -> None:
    """Do what `GaussianNoise.look_up` and `Lattice.points` do, in one pass over the numbers."""
    rest = (np.int64(1) << table.shift) - 1
    dim = len(numbers)
    for row in range(len(out)):
        for i in range(dim):
            value = np.int64(bits[row * dim + i] >> np.uint64(1))
            place = value >> table.shift
            own = (value & rest) < table.threshold[place]
            number = numbers[i] + (table.own[place] if own else table.other[place])
            number = min(max(number, -_MOST), _MOST)
            out[row, i] = np.float32(number) / np.float32(steps)


NOISES: dict[str, type[GaussianNoise] | type[BallNoise]] = {
    "gaussian": GaussianNoise,
    "ball": BallNoise,
}
"""By the sampler's name."""
