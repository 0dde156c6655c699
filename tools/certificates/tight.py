"""The classifiers for which certified radii end where they say: each loses its label just beyond.

A classifier here maps points [N, n] to bool, "label A"; x is the origin.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import gammaln

from bandlimiter.defence.certificates import ball_distance

Classifier = Callable[[torch.Tensor], torch.Tensor]


def half_space(distance: float) -> Classifier:
    """Answer A up to a plane at ``distance`` from x along the first axis."""
    return lambda points: points[:, 0] <= distance


def crescent(share: float, radius: float, dim: int, distance: float) -> Classifier:
    """Answer A on a ``share`` of the ball around x, as much as possible out of another's reach.

    The other ball lies ``distance`` away along the first axis. A fills what only the first holds,
    and the part of what both hold below a plane across the second axis. So the average at the
    other centre is ``share`` less the total variation. From two dimensions on.
    """
    rest = share - float(ball_distance(distance, radius, dim))

    def both_below(height: float) -> float:
        # Cut across the second axis: two balls of one dimension less.
        def cut(at: float) -> float:
            inner = math.sqrt(max(radius**2 - at**2, 0))
            if inner <= distance / 2:
                return 0.0
            shared = 1 - float(ball_distance(distance, inner, dim - 1))
            return shared * inner ** (dim - 1) * _unit_volume(dim - 1)

        return quad(cut, -radius, height)[0] / (_unit_volume(dim) * radius**dim)

    height = brentq(lambda at: both_below(at) - rest, -radius, radius)
    centre = torch.zeros(dim, dtype=torch.float64)
    centre[0] = distance

    def classify(points: torch.Tensor) -> torch.Tensor:
        first = points.norm(dim=1) <= radius
        second = (points - centre).norm(dim=1) <= radius
        return first & (~second | (points[:, 1] <= height))

    return classify


def _unit_volume(dim: int) -> float:
    return float(np.exp(dim / 2 * math.log(math.pi) - gammaln(dim / 2 + 1)))
