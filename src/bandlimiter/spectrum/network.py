"""Fourier transforms of whole networks on a box, three ways that must agree.

`network_transform` is the one to use. `cone_transform` is the paper's theorem 2.7, mended, for
networks without biases; `facet_transform` (in `facets`) integrates over facets only.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from bandlimiter.geometry import PiecewiseLinear, Regions, cone_decomposition, enumerate_regions
from bandlimiter.sampling import (
    Sampler,
    ball_transfer,
    build_sampler,
    draw_vectors,
    transfer_of,
)
from bandlimiter.spectrum.lemma import unit_simplex_gradient
from bandlimiter.spectrum.simplex import indexed_integrals, read_frequencies
from bandlimiter.tensors import as_float64

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]
Network = nn.Module | PiecewiseLinear


def network_transform(
    network: Network,
    frequencies: ArrayLike,
    *,
    lower: ArrayLike,
    upper: ArrayLike,
    progress: Callable[[int, int], None] | None = None,
) -> Complexes:
    """Return the exact Fourier transform of a network cut off to a box.

    Unitary convention: F(w) = (2 pi)^(-n/2) * integral over the box of f(x) exp(-i w.x) dx.
    Regions are enumerated, cut into simplices, and integrated in closed form (see
    `simplex_transform`). Biases need no special case: the paper's footnote 1, a bias as an
    extra constant dimension, does not hold for spectra.

    Parameters
    ----------
    network
        As for `geometry.read_network`, of n = 1 to 4 inputs and m outputs.
    frequencies
        [F, n], radians per unit of x.
    lower, upper
        [n] each, or a number for all axes: the box.
    progress
        Called with the number of frequencies done and their total.

    Returns
    -------
    numpy.ndarray
        [F, m] complex128.

    Raises
    ------
    InputError, ConfigurationError
        (ValueErrors) as `enumerate_regions` and `simplex_transform`.

    Examples
    --------
    >>> import torch
    >>> identity = torch.nn.Linear(1, 1).double()
    >>> _ = torch.nn.init.ones_(identity.weight), torch.nn.init.zeros_(identity.bias)
    >>> value = network_transform(identity, [[2.0]], lower=0, upper=1) * (2 * np.pi) ** 0.5
    >>> x = np.exp(-2j) * (1 / 4 - 1 / 2j) - 1 / 4  # the integral of x exp(-2ix), by parts
    >>> bool(abs(value[0, 0] - x) < 1e-15)
    True
    """
    return regions_transform(
        enumerate_regions(network, lower, upper), frequencies, progress=progress
    )


def regions_transform(
    regions: Regions,
    frequencies: ArrayLike,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Complexes:
    """Return `network_transform` for regions that have been enumerated already."""
    waves = read_frequencies(frequencies, regions.dim)
    cut = regions.triangulation
    sums = indexed_integrals(
        regions.vertices, regions.values, cut.simplices, cut.jacobians, waves, progress=progress
    )
    result: Complexes = sums[:, 0] * (2 * np.pi) ** (-regions.dim / 2)
    return result


def cone_transform(
    network: Network, frequencies: ArrayLike, *, lower: ArrayLike, upper: ArrayLike
) -> Complexes:
    """Return the transform of an unbiased network by the paper's theorem 2.7, corrected.

    With cones q of rays v_1, ..., v_n that end on the box, A_q^-1 = (v_1, ..., v_n) and
    f(x) = w_q.x there::

        F(w) = sum_q (i / |det A_q|) (w_q A_q^-1) . grad S(w A_q^-1)

    The paper prints it without i / |det A_q|. The vector w_q A_q^-1 is f at the rays' ends.

    Parameters
    ----------
    network
        Without biases; see `geometry.cone_decomposition`.
    frequencies
        [F, n]
    lower, upper
        A box that contains the origin.

    Returns
    -------
    numpy.ndarray
        [F, m] complex128, equal to `network_transform`.
    """
    cones = cone_decomposition(network, lower, upper)
    waves = read_frequencies(frequencies, cones.rays.shape[2])
    volumes = np.abs(np.linalg.det(cones.rays))  # 1 / |det A_q|
    total = np.zeros((len(waves), cones.values.shape[2]), dtype=np.complex128)
    for rays, values, volume in zip(cones.rays, cones.values, volumes, strict=True):
        total += 1j * volume * unit_simplex_gradient(waves @ rays.T) @ values
    return total


def averaged_transform(
    network: Network,
    frequencies: ArrayLike,
    *,
    lower: ArrayLike,
    upper: ArrayLike,
    radius: float,
    sampler: Sampler | str | None = None,
    directions: int = 15,
    seed: int = 0,
) -> Complexes:
    """Return the transform of the averaged network: the network's times the transfer.

    The function averaged is the network on the box and zero outside, so that points near
    the edge average over it; elsewhere it is what `PostAverage` with ``vote="logits"`` and
    ``scale=1`` computes.

    Parameters
    ----------
    network, frequencies, lower, upper
        As for `network_transform`.
    radius
        r >= 0, in units of x.
    sampler
        None: the average over the ball, eq. 5. A sampler or its name: the average over its
        fixed draw for ``seed``, the one `PostAverage` uses.
    directions
        K, for a sampler.
    seed
        Names the draw.

    Returns
    -------
    numpy.ndarray
        [F, m] complex128.
    """
    transform = network_transform(network, frequencies, lower=lower, upper=upper)
    transfer = averaging_filter(radius, sampler, directions=directions, seed=seed)
    result: Complexes = transform * transfer(frequencies)[:, None]
    return result


def averaging_filter(
    radius: float,
    sampler: Sampler | str | None = None,
    *,
    directions: int = 15,
    seed: int = 0,
) -> Callable[[ArrayLike], Complexes]:
    """Return the transfer function of an average: frequencies [F, n] -> complex128 [F].

    Parameters as for `averaged_transform`.
    """

    def of_ball(frequencies: ArrayLike) -> Complexes:
        waves = as_float64(frequencies, "frequencies")
        lengths = np.linalg.norm(waves, axis=1)
        return ball_transfer(lengths, radius, waves.shape[1]).astype(np.complex128)

    if sampler is None:
        return of_ball
    law = build_sampler(sampler) if isinstance(sampler, str) else sampler

    def of_draw(frequencies: ArrayLike) -> Complexes:
        waves = as_float64(frequencies, "frequencies")
        vectors = draw_vectors(law, directions, torch.Size([waves.shape[1]]), seed)
        return transfer_of(vectors, law.steps, law.centre, radius, waves)

    return of_draw
