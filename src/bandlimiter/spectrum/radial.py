"""Spectra averaged over directions, and how fast they decay."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import index

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bandlimiter.errors import InputError
from bandlimiter.geometry import Regions
from bandlimiter.spectrum.bands import band_frequencies, resolving_count
from bandlimiter.spectrum.facets import facet_slopes, kink_transform
from bandlimiter.spectrum.network import regions_transform
from bandlimiter.tensors import as_float64

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]
Filter = Callable[[Floats], Complexes]
"""A transfer function: frequencies [F, n] -> [F]."""


@dataclass(frozen=True)
class RadialSpectrum:
    """Means over directions of |F|^2 at each modulus of the frequency.

    Attributes
    ----------
    magnitudes
        [P]: |w|.
    power
        [P, m]: the mean of |F|^2.
    kinks
        [P, m]: the same of the kinks' part (see `facet_transform`).
    filtered
        By name, [P, m] each: the mean of |T F|^2.
    filtered_kinks
        By name, [P, m] each.
    """

    magnitudes: Floats
    power: Floats
    kinks: Floats
    filtered: Mapping[str, Floats]
    filtered_kinks: Mapping[str, Floats]


def radial_spectrum(
    regions: Regions,
    magnitudes: ArrayLike,
    *,
    band: float = 1.0,
    count: int | None = None,
    filters: Mapping[str, Filter] | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> RadialSpectrum:
    """Average |F|^2 over directions, before and after filters.

    Parameters
    ----------
    regions
        From `geometry.enumerate_regions`.
    magnitudes
        [P], |w| > 0.
    band
        The ratio of the edges of the band of moduli that each magnitude stands for, in its
        middle on a logarithmic axis; 1 is the magnitude alone. Filters and the box's
        opposite sides make |F|^2 oscillate along the radius; a band averages over that.
    count
        Frequencies at each magnitude, at least 1; None takes as many as resolve the lobes of
        the box (`bands.resolving_count`): about |w| times its diagonal to the power n - 1.
        With fewer, most lobes fall between them and powers come out too small.
    filters
        Transfer functions by name; any function of frequencies [F, n].
    seed
        Scrambles the directions for n >= 3.
    progress
        Called with the number of magnitudes done and their total.

    Raises
    ------
    InputError
        (a ValueError) for a magnitude that is not positive and finite, or needs more than
        a million directions, or a band below 1.
    """
    if not 1 <= band < math.inf:
        raise InputError(f"expected a band of 1 or more, got {band}")
    if count is not None and index(count) < 1:
        raise InputError(f"expected a count of at least 1, got {count}")
    radii = np.atleast_1d(as_float64(magnitudes, "magnitudes"))
    if radii.ndim != 1 or not (np.isfinite(radii) & (radii > 0)).all():
        raise InputError(f"expected positive finite magnitudes, got {radii.tolist()}")
    named = dict(filters or {})
    plain, bent = np.empty((2, len(radii), regions.network.outputs))
    after = {name: np.empty_like(plain) for name in named}
    bent_after = {name: np.empty_like(plain) for name in named}
    diagonal = float(np.linalg.norm(regions.upper - regions.lower))
    counts = [  # of all first: what is too much is refused before the work
        resolving_count(regions.dim, radius * diagonal, band) if count is None else count
        for radius in radii
    ]
    for i, (radius, enough) in enumerate(zip(radii, counts, strict=True)):
        waves = band_frequencies(regions.dim, radius, band, enough, seed)
        transform = regions_transform(regions, waves)
        kinks = kink_transform(regions, waves)
        plain[i], bent[i] = _power(transform), _power(kinks)
        for name, transfer in named.items():
            gain = transfer(waves)[:, None]
            after[name][i], bent_after[name][i] = _power(gain * transform), _power(gain * kinks)
        if progress is not None:
            progress(i + 1, len(radii))
    return RadialSpectrum(radii, plain, bent, after, bent_after)


def decay_exponent(magnitudes: ArrayLike, power: ArrayLike) -> Floats:
    """Return the exponents a of an amplitude that falls like |w|^-a, by least squares.

    Parameters
    ----------
    magnitudes
        [P], P >= 2.
    power
        [P, m]: squared amplitudes, positive.

    Returns
    -------
    numpy.ndarray
        [m]

    Raises
    ------
    InputError
        (a ValueError) for fewer than two magnitudes, or numbers that are not positive.

    Examples
    --------
    >>> w = np.array([10.0, 20.0, 40.0])
    >>> decay_exponent(w, w[:, None] ** -5).round(12).tolist()
    [2.5]
    """
    lengths, squares = as_float64(magnitudes, "magnitudes"), as_float64(power, "power")
    if len(np.unique(lengths)) < 2 or not ((lengths > 0).all() and (squares > 0).all()):
        raise InputError("expected two magnitudes or more, and positive magnitudes and powers")
    x, y = np.log(lengths), 0.5 * np.log(squares)
    centred = x - x.mean()
    slopes: Floats = -(centred @ y) / (centred @ centred)
    return slopes


def asymptotic_power(regions: Regions) -> tuple[Floats, Floats]:
    """Return what |F|^2 integrated over directions tends to, for kinks and for the box.

    At |w| = rho, over the unit sphere of directions::

        rho^(n+3) * integral |F_kinks|^2 -> (1/pi) sum over facets of the integral of [d_nu f]^2
        rho^(n+1) * integral |F|^2       -> (1/pi) integral over the box's boundary of f^2

    Cross terms between facets that are not parallel die out, so that energy at high
    frequencies belongs to facets, in proportion to their size and to the jump's square.
    Parallel ones, such as the box's opposite sides, go on to interfere: there the limit is
    that of the mean over a band of rho.

    Returns
    -------
    kinks, box
        [m] each: the right-hand sides.
    """
    inside = regions.facet_regions[:, 1] >= 0
    slopes = facet_slopes(regions)[inside]
    kinks = np.einsum("f,fm->m", regions.facet_measures[inside], slopes**2)

    cut = regions.facet_triangulation
    edge = ~inside[cut.owners]
    heights = regions.values[cut.simplices[edge]]
    corners = heights.shape[1]
    squares = (heights.sum(axis=1) ** 2 + (heights**2).sum(axis=1)) / (corners * (corners + 1))
    box = np.einsum("q,qm->m", cut.measures[edge], squares)
    return kinks / np.pi, box / np.pi


def _power(transform: Complexes) -> Floats:
    mean: Floats = (np.abs(transform) ** 2).mean(axis=0)
    return mean
