"""Transfer functions: by what an average around the input multiplies a plane wave.

Averaging f over offsets o, f_C(x) = mean of f(x + o), multiplies its Fourier transform by
T(w) = mean of exp(i w . o): F_C(w) = F(w) T(w). Here for the two laws that have a closed
form beyond the exponential, and for any finite set of offsets.
"""

import math
from collections.abc import Sequence
from operator import index

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from bandlimiter.errors import ConfigurationError, InputError
from bandlimiter.sampling.bessel import bessel_ratio
from bandlimiter.tensors import as_float64

# Frequencies are taken in blocks of at most this many numbers, 32 MiB in float64.
_BLOCK = 2**22


def ball_transfer(
    frequency: ArrayLike | torch.Tensor, radius: float, dim: int
) -> NDArray[np.float64]:
    """Return the transfer function of the uniform average over a ball.

    With z = r |w| (the paper's eq. 6 lacks the factor (2 pi)^(n/2))::

        T = Gamma(n/2 + 1) (2/z)^(n/2) J_(n/2)(z),    T(0) = 1

    close to exp(-z^2 / (2 (n + 2))) while z is well below n^(3/4), and below that beyond.

    Parameters
    ----------
    frequency
        [...] lengths |w| >= 0, radians per unit of the space that ``radius`` is stated in.
    radius
        r >= 0; 0 gives ones.
    dim
        Number of dimensions n >= 1; 150528 is no problem.

    Returns
    -------
    numpy.ndarray
        [...] float64 in [-1, 1], within 1e-11 of the value (beyond z = n/2: of the envelope
        of the oscillation).

    Raises
    ------
    ConfigurationError
        (a ValueError) for a radius or a dimension out of range.
    InputError
        (a ValueError) for frequencies that are negative, infinite or NaN.

    Examples
    --------
    >>> float(ball_transfer(3.0, 1.0, 1).round(12)), round(math.sin(3) / 3, 12)
    (0.047040002687, 0.047040002687)
    """
    return bessel_ratio(require_dim(dim) / 2, scaled_lengths(frequency, radius))


def sphere_transfer(
    frequency: ArrayLike | torch.Tensor, radius: float, dim: int
) -> NDArray[np.float64]:
    """Return the transfer function of the uniform average over a sphere's surface.

    With z = r |w|: S_n(z) = Gamma(n/2) (2/z)^(n/2 - 1) J_(n/2 - 1)(z), S_n(0) = 1. It is the
    ball's in two dimensions fewer. Arguments, result and errors as for `ball_transfer`.

    Examples
    --------
    >>> float(sphere_transfer(3.0, 1.0, 1).round(12)), round(math.cos(3), 12)
    (-0.9899924966, -0.9899924966)
    """
    return bessel_ratio(require_dim(dim) / 2 - 1, scaled_lengths(frequency, radius))


def transfer_of(
    vectors: torch.Tensor,
    steps: Sequence[float],
    centre: bool,
    radius: float,
    frequencies: ArrayLike | torch.Tensor,
) -> NDArray[np.complex128]:
    """Return the transfer function of the offsets radius * step * vector.

    Parameters
    ----------
    vectors
        [M, ...] with n coordinates each, of any dtype and device.
    steps
        Multiples of the radius at which each vector is used.
    centre
        Whether the input itself is one of the points.
    radius
        r >= 0.
    frequencies
        [F, n] row vectors w, radians per unit of the space that ``radius`` is stated in.

    Returns
    -------
    numpy.ndarray
        [F] complex128, T(w) = mean over the M * len(steps) + centre points of
        exp(i w . offset). Exactly real where each step comes with its opposite.

    Raises
    ------
    ConfigurationError
        (a ValueError) for a radius out of range.
    InputError
        (a ValueError) for frequencies of another shape, infinite or NaN.
    """
    count, dim = len(vectors), vectors[0].numel()
    rows = frequency_rows(frequencies)
    if rows.shape[1] != dim:
        raise InputError(f"expected frequencies [F, {dim}], got shape {tuple(rows.shape)}")
    require_radius(radius)
    across = as_float64(vectors).reshape(count, dim).T
    one_sided = sorted(steps) != sorted(-step for step in steps)

    transfer = np.full(len(rows), float(centre), dtype=np.complex128)
    size = max(1, _BLOCK // max(count, dim))
    for start in range(0, len(rows), size):
        block = as_float64(rows[start : start + size])
        if not np.isfinite(block).all():
            raise InputError("expected finite frequencies, got infinite ones or NaN")
        phases = radius * (block @ across)
        total = transfer[start : start + size]
        for step in steps:
            total.real += np.cos(step * phases).sum(axis=1)
            if one_sided:
                total.imag += np.sin(step * phases).sum(axis=1)
    transfer /= count * len(steps) + centre
    return transfer


def frequency_rows(
    frequencies: ArrayLike | torch.Tensor,
) -> NDArray[np.float64] | torch.Tensor:
    """Refuse frequencies that are not [F, n] with n >= 1; a tensor is left where it is."""
    rows = frequencies if isinstance(frequencies, torch.Tensor) else as_float64(frequencies)
    if rows.ndim != 2 or rows.shape[1] == 0:
        raise InputError(f"expected frequencies [F, n], got shape {tuple(rows.shape)}")
    return rows


def scaled_lengths(frequency: ArrayLike | torch.Tensor, radius: float) -> NDArray[np.float64]:
    """Return z = r |w| of checked lengths of frequencies: [...] -> [...]."""
    lengths = as_float64(frequency)
    require_radius(radius)
    with np.errstate(over="ignore"):  # refused below
        z = radius * lengths
    if not ((lengths >= 0).all() and np.isfinite(z).all()):
        raise InputError(
            "expected finite lengths of frequencies >= 0, got negative ones, infinite ones or NaN"
        )
    return z


def require_radius(radius: float) -> None:
    """Refuse a radius that is negative or not finite."""
    if not (math.isfinite(radius) and radius >= 0):
        raise ConfigurationError(f"expected a finite radius >= 0, got {radius}")


def require_dim(dim: int) -> int:
    """Return a number of dimensions, refused unless whole and positive."""
    try:
        whole = index(dim)
    except TypeError:
        whole = 0
    if whole < 1:
        raise ConfigurationError(f"expected a whole number of dimensions >= 1, got {dim!r}")
    return whole
