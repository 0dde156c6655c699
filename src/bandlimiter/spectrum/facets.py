"""The transform from facets alone: where the function bends, and where the box cuts it off.

By Green's formula, for a continuous piecewise linear f and w != 0::

    F(w) = (2 pi)^(-n/2) |w|^-2 * sum over cells of the boundary integral of
           (d_nu f + i (w.nu) f) exp(-i w.x)

Inside the box the second term cancels between neighbours and the first leaves the jump of
the slope across each facet: the *kinks*, what the network itself does. The rest is the box's.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bandlimiter.errors import InputError
from bandlimiter.geometry import Regions
from bandlimiter.spectrum.simplex import read_frequencies, separate_integrals

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]


@dataclass(frozen=True)
class FacetTransform:
    """A transform as the sum of two parts, [F, m] each.

    Attributes
    ----------
    kinks
        From facets between regions: decays like |w|^-((n + 3) / 2) on average over
        directions.
    box
        From the box's boundary: like |w|^-((n + 1) / 2).
    """

    kinks: Complexes
    box: Complexes

    @property
    def total(self) -> Complexes:
        """The transform, equal to `network_transform`."""
        return self.kinks + self.box


def facet_transform(regions: Regions, frequencies: ArrayLike) -> FacetTransform:
    """Return the transform split into kinks and box.

    The split says something once |w| times the diameter of the regions is about 30 or
    more; below, the two parts are large and cancel.

    Parameters
    ----------
    regions
        From `geometry.enumerate_regions`.
    frequencies
        [F, n], none of them zero.

    Raises
    ------
    InputError
        (a ValueError) for a frequency of zero, where the form divides by |w|^2.
    """
    return FacetTransform(
        kinks=kink_transform(regions, frequencies), box=box_transform(regions, frequencies)
    )


def kink_transform(regions: Regions, frequencies: ArrayLike) -> Complexes:
    """Return the kinks' part of the transform alone, [F, m]; see `facet_transform`."""
    waves, factor = _checked(regions, frequencies)
    inside = (regions.facet_regions[:, 1] >= 0)[regions.facet_triangulation.owners]
    result: Complexes = _slope_integrals(regions, inside, waves)[:, 0] * factor
    return result


def kinks_by_facet(regions: Regions, frequencies: ArrayLike) -> Complexes:
    """Return each inner facet's term of `kink_transform`: [F, facets inside, m].

    In the order of the facets whose two ``facet_regions`` are regions.
    """
    waves, factor = _checked(regions, frequencies)
    facets = regions.facet_regions[:, 1] >= 0
    number = np.cumsum(facets) - 1
    owners = regions.facet_triangulation.owners
    inside = facets[owners]
    terms = _slope_integrals(regions, inside, waves, number[owners[inside]])
    result: Complexes = terms * factor[:, None]
    return result


def box_transform(regions: Regions, frequencies: ArrayLike) -> Complexes:
    """Return the box's part of the transform alone, [F, m]; see `facet_transform`."""
    waves, factor = _checked(regions, frequencies)
    cut = regions.facet_triangulation
    on_box = (regions.facet_regions[:, 1] < 0)[cut.owners]
    slopes = _slope_integrals(regions, on_box, waves)[:, 0]

    # On each side of the box w.nu is one number, so that f is integrated side by side.
    side = -1 - regions.facet_hyperplanes[cut.owners[on_box]]
    corners = cut.simplices[on_box]
    heights = separate_integrals(
        regions.vertices[corners],
        regions.values[corners],
        cut.jacobians[on_box],
        waves,
        groups=side,
    )
    outward = np.stack([-waves, waves], axis=2).reshape(len(waves), 2 * regions.dim)
    result: Complexes = (slopes + 1j * np.einsum("fs,fsm->fm", outward, heights)) * factor
    return result


def _slope_integrals(
    regions: Regions,
    chosen: NDArray[np.bool_],
    waves: Floats,
    groups: NDArray[np.int64] | None = None,
) -> Complexes:
    """Integrate d_nu f (its jump, inside) exp(-i w.x) over the facets' chosen simplices."""
    cut = regions.facet_triangulation
    corners = regions.vertices[cut.simplices[chosen]]
    slopes = facet_slopes(regions)[cut.owners[chosen]]
    heights = np.repeat(slopes[:, None], corners.shape[1], axis=1)
    return separate_integrals(corners, heights, cut.jacobians[chosen], waves, groups)


def _checked(regions: Regions, frequencies: ArrayLike) -> tuple[Floats, Floats]:
    """Return the frequencies, and the factor (2 pi)^(-n/2) |w|^-2 as a column."""
    waves = read_frequencies(frequencies, regions.dim)
    squares = (waves**2).sum(axis=1)
    if (squares == 0).any():
        raise InputError("expected frequencies other than zero: the facet form divides by |w|^2")
    return waves, (2 * np.pi) ** (-regions.dim / 2) / squares[:, None]


def facet_slopes(regions: Regions) -> Floats:
    """Return [facets, m]: the sum of d_nu f over a facet's sides, nu outward; the box has one.

    Across a facet the gradient of a continuous function changes along the normal only, so
    the sum is the change's length in modulus, and negative where the slope rises.
    """
    first, second = regions.facet_regions.T
    inside = second >= 0
    slopes = np.empty((len(first), regions.network.outputs))

    centres = _centres(regions)
    change = -regions.map_changes[:, :, :-1]
    across = centres[second[inside]] - centres[first[inside]]
    sign = np.sign(np.einsum("fmn,fn->fm", change, across))
    slopes[inside] = sign * np.linalg.norm(change, axis=2)

    axis, up = np.divmod(-1 - regions.facet_hyperplanes[~inside], 2)
    outward = np.where(up == 1, 1.0, -1.0)
    weights = regions.weights[first[~inside]]
    slopes[~inside] = weights[np.arange(len(axis)), :, axis] * outward[:, None]
    return slopes


def _centres(regions: Regions) -> Floats:
    """Return a point inside each region: the mean of its simplices' vertices, [R, n]."""
    cut = regions.triangulation
    middles = regions.vertices[cut.simplices].mean(axis=1)
    sums = np.zeros((len(regions), regions.dim))
    np.add.at(sums, cut.owners, middles)
    centres: Floats = sums / np.bincount(cut.owners, minlength=len(regions))[:, None]
    return centres
