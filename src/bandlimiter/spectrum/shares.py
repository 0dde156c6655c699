"""Who makes the high frequencies? Each region's share of the energy against its volume.

The paper puts the high frequencies of a network down to its tiny regions (section 2.1). A
region's own transform does not show that: it is cut off at borders where the network is
continuous, and most of it cancels against the neighbours'. What the network itself does at
high frequencies comes from facets, where its slope jumps; each gives half of its energy to
both neighbours.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bandlimiter.geometry import Regions
from bandlimiter.spectrum.facets import facet_slopes, kinks_by_facet
from bandlimiter.spectrum.simplex import read_frequencies

Floats = NDArray[np.float64]

_NUMBERS = 1 << 22
"""Complex numbers held at a time: 64 MiB."""


@dataclass(frozen=True)
class RegionShares:
    """How volume and energy are spread over regions; each [R], each adds up to 1.

    Where there is nothing to share, shares are zero.

    Attributes
    ----------
    volume
        The part of the box.
    surface
        The part of all facets inside the box, half of each to both neighbours: what the kinks'
        share would be if the slope changed alike across all of them.
    band
        The same at these frequencies, with all that facets do to each other: a facet has
        the sum over frequencies of Re(conj(K) K_f), K its kinks' transform and K_f its
        term (see `kinks_by_facet`). May be negative.
    kinks
        In the limit of high frequencies, energy belongs to facets (see
        `asymptotic_power`); each gives half of its own to both neighbours. Zero everywhere
        for an affine network.
    """

    volume: Floats
    surface: Floats
    band: Floats
    kinks: Floats

    def of_smallest(self, part: float) -> dict[str, float]:
        """Return what the smallest regions hold: that many of them, as a part of all.

        Parameters
        ----------
        part
            Between 0 and 1: 0.5 is the smaller half of all regions.
        """
        order = np.argsort(self.volume, kind="stable")[: round(part * len(self.volume))]
        return {
            "volume": float(self.volume[order].sum()),
            "surface": float(self.surface[order].sum()),
            "band": float(self.band[order].sum()),
            "kinks": float(self.kinks[order].sum()),
        }


def region_shares(
    regions: Regions, frequencies: ArrayLike, *, output: int | None = None
) -> RegionShares:
    """Divide the kinks' energy among regions, at some frequencies and in the limit.

    The box's edge is left out: it is ours, not the network's, and at high frequencies it
    would be nearly all.

    Parameters
    ----------
    regions
        From `geometry.enumerate_regions`.
    frequencies
        [F, n]: a band, for example all directions at some high moduli; none of them zero.
    output
        Which output; None takes the sum over all.
    """
    waves = read_frequencies(frequencies, regions.dim)
    chosen = slice(None) if output is None else slice(output, output + 1)
    inside = regions.facet_regions[:, 1] >= 0
    band = np.zeros(len(inside))
    size = max(1, _NUMBERS // max(1, inside.sum() * regions.network.outputs))
    for start in range(0, len(waves), size):
        terms = kinks_by_facet(regions, waves[start : start + size])[:, :, chosen]
        whole = terms.sum(axis=1, keepdims=True)
        band[inside] += (whole.conj() * terms).real.sum(axis=(0, 2))
    squares = (facet_slopes(regions)[:, chosen] ** 2).sum(axis=1)
    return RegionShares(
        volume=regions.volumes / regions.volumes.sum(),
        surface=_shares_of_facets(regions, regions.facet_measures),
        band=_shares_of_facets(regions, band),
        kinks=_shares_of_facets(regions, regions.facet_measures * squares),
    )


def _shares_of_facets(regions: Regions, amounts: Floats) -> Floats:
    """Give half of each inner facet's amount to both of its regions; as parts of the sum."""
    sides = regions.facet_regions
    inside = sides[:, 1] >= 0
    shares = np.zeros(len(regions))
    for side in (0, 1):
        np.add.at(shares, sides[inside, side], amounts[inside] / 2)
    return _parts(shares)


def _parts(amounts: Floats) -> Floats:
    """Return amounts as parts of their sum; zeros where there is nothing to share."""
    total = amounts.sum()
    return amounts / total if total > 0 else np.zeros_like(amounts)
