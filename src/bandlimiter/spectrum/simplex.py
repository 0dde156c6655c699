"""Fourier transforms of affine functions on simplices, exact and streamed."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from bandlimiter.errors import InputError
from bandlimiter.spectrum.divided_differences import HIGHEST_ORDER, exp_divided_difference
from bandlimiter.spectrum.double_double import simplex_determinants
from bandlimiter.spectrum.simplex_sums import add_simplices
from bandlimiter.tensors import as_float64

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]
Ids = NDArray[np.int64]

_BLOCK = 2048
"""Simplices at a time: their nodes at one frequency stay in the processor's cache."""


def simplex_transform(
    vertices: ArrayLike,
    values: ArrayLike,
    frequencies: ArrayLike,
    *,
    compiled: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> Complexes:
    """Return the Fourier transform of a sum of affine functions, each on a simplex.

    Unitary convention::

        F(w) = (2 pi)^(-n/2) sum_q integral over simplex q of f_q(x) exp(-i w.x) dx
             = (2 pi)^(-n/2) sum_q |det(v_j - v_0)| sum_j f_q(v_j) exp[z_0, ..., z_n, z_j]

    with z_j = -i w.v_j and divided differences of exp (lemma 2.6 and theorem 2.7 of the
    paper, in the form that is stable).

    Parameters
    ----------
    vertices
        [Q, n + 1, n]; n = 1 to 11. A simplex without volume contributes zero.
    values
        [Q, n + 1, m]: f at the vertices.
    frequencies
        [F, n], radians per unit of x.
    compiled
        False takes the plain numpy statement of the method: slower, and w.v in one double.
    progress
        Called with the number of simplices done and their total.

    Returns
    -------
    numpy.ndarray
        [F, m] complex128. Relative error at most 1e-11 for n up to 6, vertices in the unit
        box, |w| up to 1e4, relative to the modulus wherever that exceeds 1e-3 of the
        largest term. Memory does not grow with Q times F.

    Raises
    ------
    InputError
        (a ValueError) for shapes that do not fit, and for numbers that are not finite.

    Examples
    --------
    >>> triangle = [[[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]]
    >>> area = simplex_transform(triangle, np.ones((1, 3, 1)), np.zeros((1, 2))) * 2 * np.pi
    >>> round(area.real.item(), 15)
    0.5
    """
    corners = _finite(vertices, "vertices", 3)
    heights = _finite(values, "values", 3)
    count, order, dim = len(corners), corners.shape[1] - 1, corners.shape[2]
    if order != dim or dim < 1:
        raise InputError(f"expected vertices [Q, n + 1, n], got shape {corners.shape}")
    if dim >= HIGHEST_ORDER:
        raise InputError(f"expected at most {HIGHEST_ORDER - 1} dimensions, got {dim}")
    if heights.shape[:2] != corners.shape[:2]:
        raise InputError(
            f"expected values [{count}, {order + 1}, m] for these vertices, got {heights.shape}"
        )
    waves = read_frequencies(frequencies, dim)
    totals = np.zeros((len(waves), heights.shape[2]), dtype=np.complex128)
    for start in range(0, count, _BLOCK):
        block = slice(start, min(start + _BLOCK, count))
        totals += (_compiled_block if compiled else _plain_block)(
            corners[block], heights[block], waves
        )
        if progress is not None:
            progress(block.stop, count)
    result: Complexes = totals * (2 * np.pi) ** (-dim / 2)
    return result


def _compiled_block(corners: Floats, heights: Floats, waves: Floats) -> Complexes:
    return separate_integrals(corners, heights, simplex_determinants(corners), waves)[:, 0]


def _plain_block(corners: Floats, heights: Floats, waves: Floats) -> Complexes:
    nodes = np.einsum("fn,qjn->fqj", waves, corners)
    weights = [
        exp_divided_difference(np.concatenate([nodes, nodes[..., j : j + 1]], axis=-1))
        for j in range(corners.shape[1])
    ]
    volumes = simplex_determinants(corners)
    result: Complexes = np.einsum("jfq,qjm,q->fm", np.array(weights), heights, volumes)
    return result


def separate_integrals(
    corners: Floats,
    heights: Floats,
    jacobians: Floats,
    frequencies: Floats,
    groups: Ids | None = None,
) -> Complexes:
    """Integrate over simplices [Q, d + 1, n] with values [Q, d + 1, m] of their own.

    See `indexed_integrals` for the rest.
    """
    numbers = np.arange(corners.shape[0] * corners.shape[1]).reshape(corners.shape[:2])
    points = corners.reshape(numbers.size, corners.shape[2])
    values = heights.reshape(numbers.size, heights.shape[2])
    return indexed_integrals(points, values, numbers, jacobians, frequencies, groups)


def indexed_integrals(
    points: Floats,
    values: Floats,
    simplices: Ids,
    jacobians: Floats,
    frequencies: Floats,
    groups: Ids | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Complexes:
    """Integrate f exp(-i w.x) over simplices of any dimension that share their vertices.

    Parameters
    ----------
    points, values
        [V, n] and [V, m].
    simplices, jacobians
        [Q, d + 1] and [Q]: numbers of points, and d! times each simplex's measure.
    frequencies
        [F, n]; spread over as many threads as torch uses.
    groups
        [Q]: which sum each simplex goes to, 0 to G - 1; None is one sum.
    progress
        Called with the number of frequencies done and their total.

    Returns
    -------
    numpy.ndarray
        [F, G, m] complex128, without the factor (2 pi)^(-n/2).
    """
    if groups is None:
        groups = np.zeros(len(simplices), dtype=np.int64)
    sums = int(groups.max(initial=0)) + 1
    totals = np.zeros((len(frequencies), sums, values.shape[1]), dtype=np.complex128)
    # The loop runs over points and simplices: those are the last axes.
    axes, heights = np.ascontiguousarray(points.T), np.ascontiguousarray(values.T)
    corners = np.ascontiguousarray(simplices.T)
    # Some frequencies a task, so that threads share the work and progress is seen.
    size = max(1, min(64, len(frequencies) // (4 * torch.get_num_threads())))
    tasks = [slice(start, start + size) for start in range(0, len(frequencies), size)]

    def run(task: slice) -> None:
        add_simplices(axes, heights, corners, jacobians, groups, frequencies[task], totals[task])

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for done, _ in enumerate(pool.map(run, tasks), start=1):
            if progress is not None:
                progress(min(done * size, len(frequencies)), len(frequencies))
    totals *= 1j ** simplices.shape[1]
    return totals


def read_frequencies(frequencies: ArrayLike, dim: int) -> Floats:
    """Return frequencies as float64 [F, n].

    Raises
    ------
    InputError
        (a ValueError) for another shape, NaN or infinity.
    """
    waves = _finite(frequencies, "frequencies", 2)
    if waves.shape[1] != dim:
        raise InputError(f"expected frequencies [F, {dim}], got shape {waves.shape}")
    return waves


def _finite(array: ArrayLike, name: str, axes: int) -> Floats:
    read = np.ascontiguousarray(as_float64(array, name))
    if read.ndim != axes:
        raise InputError(f"expected {name} with {axes} axes, got shape {read.shape}")
    if not np.isfinite(read).all():
        raise InputError(f"expected finite {name}, got NaN or infinity")
    return read
