"""Lemma 2.6 of the paper: the unit simplex's transform S and its gradient."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bandlimiter.errors import InputError
from bandlimiter.spectrum.divided_differences import exp_divided_difference
from bandlimiter.tensors import as_float64

Complexes = NDArray[np.complex128]


def unit_simplex_transform(frequencies: ArrayLike) -> Complexes:
    """Return S(w), the transform of 1 on the simplex x > 0, x_1 + ... + x_n < 1.

    The paper prints ``(-i / sqrt(2 pi))^n sum_r exp(-i w_r) / prod (w_r' - w_r)``, w_0 = 0
    (lemma 2.6), which is right and unusable where frequencies come close. The same, as a
    divided difference: ``S(w) = (2 pi)^(-n/2) exp[0, -i w_1, ..., -i w_n]``.

    Parameters
    ----------
    frequencies
        [F, n]

    Returns
    -------
    numpy.ndarray
        [F] complex128.

    Examples
    --------
    >>> float(unit_simplex_transform([[0.0, 0.0]]).real[0] * 2 * np.pi)  # the area
    0.5
    """
    waves = _read(frequencies)
    nodes = np.concatenate([np.zeros((len(waves), 1)), waves], axis=1)
    result: Complexes = exp_divided_difference(nodes) * (2 * np.pi) ** (-waves.shape[1] / 2)
    return result


def unit_simplex_gradient(frequencies: ArrayLike) -> Complexes:
    """Return the gradient of S: the transform of -i x on the unit simplex.

    ``dS / dw_r = -i (2 pi)^(-n/2) exp[0, -i w_1, ..., -i w_n, -i w_r]``.

    Parameters
    ----------
    frequencies
        [F, n]

    Returns
    -------
    numpy.ndarray
        [F, n] complex128.
    """
    waves = _read(frequencies)
    dim = waves.shape[1]
    zeros = np.zeros((len(waves), 1))
    columns = [
        exp_divided_difference(np.concatenate([zeros, waves, waves[:, r : r + 1]], axis=1))
        for r in range(dim)
    ]
    result: Complexes = -1j * (2 * np.pi) ** (-dim / 2) * np.stack(columns, axis=1)
    return result


def _read(frequencies: ArrayLike) -> NDArray[np.float64]:
    waves = as_float64(frequencies, "frequencies")
    if waves.ndim != 2 or waves.shape[1] < 1 or not np.isfinite(waves).all():
        raise InputError(f"expected finite frequencies [F, n], got shape {waves.shape}")
    return waves
