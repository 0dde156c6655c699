"""Networks without biases as sums of linear functions on infinite simplices (theorem 2.5)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import nn

from bandlimiter.errors import ConfigurationError, InputError
from bandlimiter.geometry.box import read_box
from bandlimiter.geometry.enumeration import enumerate_regions
from bandlimiter.geometry.matrices import read_network
from bandlimiter.geometry.network import Affine, Bend, PiecewiseLinear

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Cones:
    """Infinite simplices (definition 2.4) with the network's linear map on each.

    Attributes
    ----------
    rays
        [Q, n, n]: row j of a cone is v_j; the cone is all sums of positive multiples. The
        rays end on the box, so that the simplices 0, v_1, ..., v_n fill it.
    weights
        [Q, m, n]: f(x) = weights[q] @ x in cone q.
    values
        [Q, n, m]: f at the rays' ends.
    """

    rays: Floats
    weights: Floats
    values: Floats

    def __len__(self) -> int:
        """Return Q, the number of cones."""
        return len(self.rays)


def cone_decomposition(
    network: nn.Module | PiecewiseLinear, lower: ArrayLike, upper: ArrayLike
) -> Cones:
    """Decompose an unbiased network over the cones that a box is seen through.

    The paper adds hyperplanes such that in each cone one coordinate is the largest, and
    cuts there (theorem 2.5 and appendix B). That is the same as this: enumerate the network on
    the faces of the box that do not contain the origin, one dimension lower, and join each
    simplex there to the origin.

    Parameters
    ----------
    network
        As for `read_network`, without biases, of n = 1 to 4 inputs.
    lower, upper
        A box that contains the origin. Where the origin is inside, the cones fill R^n;
        for [0, 1]^n they fill the orthant.

    Raises
    ------
    ConfigurationError
        (a ValueError) where the network has a bias, or an activation that is not
        homogeneous, named in the message.
    InputError
        (a ValueError) as `enumerate_regions`, and for a box without the origin.
    """
    bounds = [bound for bound in (lower, upper) if np.ndim(bound) == 1]
    pieces = read_network(network, np.size(bounds[0]) if bounds else None)
    low, high = read_box(lower, upper, pieces.dim)
    if not ((low <= 0) & (high >= 0)).all():
        raise InputError(
            f"expected a box that contains the origin, got {low.tolist()} to {high.tolist()}"
        )
    _require_homogeneous(pieces)
    faces = [
        _cones_through(pieces, low, high, axis, bound[axis])
        for axis in range(pieces.dim)
        for bound in (low, high)
        if bound[axis] != 0
    ]
    rays = np.concatenate([face[0] for face in faces])
    weights = np.concatenate([face[1] for face in faces])
    return Cones(rays, weights, np.einsum("qmn,qjn->qjm", weights, rays))


def _cones_through(
    pieces: PiecewiseLinear, low: Floats, high: Floats, axis: int, held: float
) -> tuple[Floats, Floats]:
    """Rays and weights of the cones through the box's face at ``x[axis] = held``."""
    if pieces.dim == 1:
        end = np.array([[held]])
        return end[None], pieces.affine_maps(pieces.patterns(end))[0]
    others = [i for i in range(pieces.dim) if i != axis]
    offset = np.zeros(pieces.dim)
    offset[axis] = held
    on_face = pieces.restricted(np.eye(pieces.dim)[:, others], offset)
    regions = enumerate_regions(on_face, low[others], high[others])
    cut = regions.triangulation
    ends = np.empty((len(regions.vertices), pieces.dim))
    ends[:, others], ends[:, axis] = regions.vertices, held
    return ends[cut.simplices], pieces.affine_maps(regions.patterns)[0][cut.owners]


def _require_homogeneous(pieces: PiecewiseLinear) -> None:
    for step in pieces.steps:
        if isinstance(step, Affine) and step.bias.any():
            raise ConfigurationError(
                "expected a network without biases, as theorem 2.5 needs, got one with; use "
                "enumerate_regions, which takes both (footnote 1 of the paper does not hold "
                "for spectra)"
            )
        if isinstance(step, Bend) and not step.activation.is_homogeneous:
            raise ConfigurationError(
                f"expected activations with one threshold at zero, got thresholds "
                f"{step.activation.thresholds.tolist()} in layer {step.name}"
            )
