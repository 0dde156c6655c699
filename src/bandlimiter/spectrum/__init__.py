"""Fourier transforms of simplices and networks in closed form, and what averaging filters."""

from bandlimiter.sampling import ball_transfer, sphere_transfer
from bandlimiter.spectrum.divided_differences import exp_divided_difference
from bandlimiter.spectrum.facets import (
    FacetTransform,
    box_transform,
    facet_transform,
    kink_transform,
    kinks_by_facet,
)
from bandlimiter.spectrum.lemma import unit_simplex_gradient, unit_simplex_transform
from bandlimiter.spectrum.lines import LineSpectrum, line_kinks, line_spectrum, line_transform
from bandlimiter.spectrum.network import (
    averaged_transform,
    averaging_filter,
    cone_transform,
    network_transform,
    regions_transform,
)
from bandlimiter.spectrum.radial import (
    RadialSpectrum,
    asymptotic_power,
    decay_exponent,
    radial_spectrum,
)
from bandlimiter.spectrum.shares import RegionShares, region_shares
from bandlimiter.spectrum.simplex import simplex_transform

__all__ = [
    "FacetTransform",
    "LineSpectrum",
    "RadialSpectrum",
    "RegionShares",
    "asymptotic_power",
    "averaged_transform",
    "averaging_filter",
    "ball_transfer",
    "box_transform",
    "cone_transform",
    "decay_exponent",
    "exp_divided_difference",
    "facet_transform",
    "kink_transform",
    "kinks_by_facet",
    "line_kinks",
    "line_spectrum",
    "line_transform",
    "network_transform",
    "radial_spectrum",
    "region_shares",
    "regions_transform",
    "simplex_transform",
    "sphere_transfer",
    "unit_simplex_gradient",
    "unit_simplex_transform",
]
