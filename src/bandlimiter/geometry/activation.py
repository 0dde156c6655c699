"""Activations that are piecewise linear: thresholds, and a line on each piece between them."""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from bandlimiter.errors import ConfigurationError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Activation:
    """A continuous function of one number: ``slopes[p] * g + intercepts[p]`` on piece p.

    Piece p lies between ``thresholds[p - 1]`` and ``thresholds[p]``; a number on a threshold
    belongs to the piece below it.

    Attributes
    ----------
    thresholds
        [P] increasing, P >= 1. Each one is a hyperplane of every unit.
    slopes, intercepts
        [P + 1].
    """

    thresholds: Array
    slopes: Array
    intercepts: Array

    @property
    def is_homogeneous(self) -> bool:
        """Whether sigma(c g) = c sigma(g) for c > 0, as theorem 2.3 needs."""
        return not self.thresholds.any() and not self.intercepts.any()

    @property
    def absolute(self) -> "Activation":
        """The same pieces, with the slopes' and intercepts' moduli."""
        return replace(self, slopes=np.abs(self.slopes), intercepts=np.abs(self.intercepts))

    def __call__(self, g: Array) -> Array:
        """Apply the function to each number."""
        value: Array = self.slopes[0] * g + self.intercepts[0]
        for piece, threshold in enumerate(self.thresholds, start=1):
            line = self.slopes[piece] * g + self.intercepts[piece]
            value = np.where(g > threshold, line, value)
        return value

    def on_tensor(self, g: torch.Tensor) -> torch.Tensor:
        """Apply the function to each number of a tensor."""
        if self.slopes.tolist() == [0.0, 1.0] and self.is_homogeneous:
            return g.clamp(min=0)  # the ReLU, in one pass over memory
        value = g * float(self.slopes[0]) + float(self.intercepts[0])
        for piece, threshold in enumerate(self.thresholds, start=1):
            line = g * float(self.slopes[piece]) + float(self.intercepts[piece])
            value = torch.where(g > float(threshold), line, value)
        return value


def leaky(negative_slope: float) -> Activation:
    """LeakyReLU; ReLU at slope 0, the absolute value at slope -1.

    Examples
    --------
    >>> leaky(-1.0)(np.array([-2.0, 3.0]))
    array([2., 3.])
    """
    return Activation(np.zeros(1), np.array([negative_slope, 1.0]), np.zeros(2))


def hardtanh(low: float, high: float) -> Activation:
    """Hardtanh: the identity, held between ``low`` and ``high``; ReLU6 for 0 and 6.

    Raises
    ------
    ConfigurationError
        If low >= high, or one is infinite.

    Examples
    --------
    >>> hardtanh(-1.0, 1.0)(np.array([-3.0, 0.5, 2.0]))
    array([-1. ,  0.5,  1. ])
    """
    if not -math.inf < low < high < math.inf:
        raise ConfigurationError(
            f"expected a Hardtanh with finite low < high, got {low} and {high}"
        )
    return Activation(
        np.array([low, high], dtype=float), np.array([0.0, 1.0, 0.0]), np.array([low, 0.0, high])
    )


def clamp(low: float | None, high: float | None) -> Activation:
    """Hold numbers between two bounds, or on one side of one.

    Raises
    ------
    ConfigurationError
        If there is no bound, or low >= high.

    Examples
    --------
    >>> clamp(None, 1.0)(np.array([-3.0, 2.0]))
    array([-3.,  1.])
    """
    if low is not None and high is not None:
        return hardtanh(low, high)
    if low is not None:
        return Activation(np.array([low], dtype=float), np.array([0.0, 1.0]), np.array([low, 0.0]))
    if high is not None:
        bound = np.array([high], dtype=float)
        return Activation(bound, np.array([1.0, 0.0]), np.array([0.0, high], dtype=float))
    raise ConfigurationError("expected a clamp with at least one bound, got none")
