"""Means over directions: how fast spectra decay, and to which level."""

import math

import numpy as np
import pytest
import torch
from scipy import special

from bandlimiter.errors import InputError
from bandlimiter.geometry import enumerate_regions
from bandlimiter.spectrum import (
    asymptotic_power,
    averaging_filter,
    box_transform,
    decay_exponent,
    facet_transform,
    radial_spectrum,
    regions_transform,
)
from tests.spectrum.networks import evaluate, perceptron
from tests.spectrum.quadrature import box_grid, box_values, circle, sphere

SURFACES = {1: 2.0, 2: 2 * math.pi, 3: 4 * math.pi}


def regions_of(*widths: int, seed: int = 1, half: float = 1.0):
    dim = widths[0]
    return enumerate_regions(
        perceptron(*widths, seed=seed), np.full(dim, -half), np.full(dim, half)
    )


# The sum rules.


def test_one_hinge_by_hand():
    """relu(x_1) on [-1, 1]^2: a kink of length 2 and jump 1; f^2 on three sides."""
    network = perceptron(2, 1, 1)
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[1.0, 0.0]]))
        network[2].weight.fill_(1)
        network[0].bias.zero_()
        network[2].bias.zero_()
    kinks, box = asymptotic_power(enumerate_regions(network, -np.ones(2), np.ones(2)))
    np.testing.assert_allclose(kinks, [2 / math.pi], rtol=1e-14)
    # 1 on the side x_1 = 1 of length 2, x^2 from 0 to 1 on the two others.
    np.testing.assert_allclose(box, [(2 + 2 / 3) / math.pi], rtol=1e-14)


@pytest.mark.parametrize("dim", [1, 2, 3, 4])
def test_the_box_s_level_by_quadrature(dim):
    """The integral of f^2 over the box's sides, each by a product rule."""
    network = perceptron(dim, 4, 3, 2, seed=3)
    lower, upper = -np.ones(dim), np.linspace(0.5, 1, dim)
    expected = np.zeros(2)
    for axis in range(dim):
        others = [i for i in range(dim) if i != axis]
        for held in (lower[axis], upper[axis]):
            if dim == 1:
                expected += evaluate(network, np.array([[held]]))[0] ** 2
                continue

            class Side(torch.nn.Module):
                def forward(self, y, axis=axis, held=held):
                    x = torch.cat([y[:, :axis], torch.full_like(y[:, :1], held), y[:, axis:]], 1)
                    return network(x)

            axes = box_grid(lower[others], upper[others], {2: 2000, 3: 150, 4: 40}[dim], 2)
            squares = box_values(Side(), axes) ** 2
            for _, weights in axes:
                squares = np.tensordot(weights, squares, axes=1)
            expected += squares
    _, box = asymptotic_power(enumerate_regions(network, lower, upper))
    # As in test_network, cell^2 of 1e-6, 2e-4 and 2e-3 times small factors.
    np.testing.assert_allclose(box, expected / math.pi, rtol={1: 1e-13, 2: 1e-7}.get(dim, 1e-4))


def test_kinks_of_one_dimension_by_differences():
    """n = 1: the sum of the squared jumps of the slope."""
    regions = regions_of(1, 8, 6, 2, seed=3)
    x = np.sort(regions.vertices[:, 0])
    values = evaluate_along(regions, x)
    jumps = np.diff(np.diff(values, axis=0) / np.diff(x)[:, None], axis=0)
    kinks, box = asymptotic_power(regions)
    np.testing.assert_allclose(kinks, (jumps**2).sum(axis=0) / math.pi, rtol=1e-10)
    ends = values[[0, -1]]
    np.testing.assert_allclose(box, (ends**2).sum(axis=0) / math.pi, rtol=1e-13)


def evaluate_along(regions, x: np.ndarray) -> np.ndarray:
    return regions.network(x[:, None])


def band_mean(level: np.ndarray, exponent: float, ratio: float) -> np.ndarray:
    """The mean of level * rho^-exponent over a band around rho = 1, even in log rho."""
    a = exponent * math.log(ratio) / 2
    return level * math.sinh(a) / a


@pytest.mark.parametrize(
    ("widths", "moduli", "ratio", "given"),
    [
        ((1, 8, 6, 2), [20_000.0], 1.5, {"count": 40_000}),
        ((2, 6, 5, 2), np.geomspace(300, 600, 12), 1.1, {}),
    ],
    ids=["n = 1", "n = 2"],
)
def test_the_levels_of_radial_spectra(widths, moduli, ratio, given):
    """As `radial_spectrum` is called: a mean over a band of rho and over directions."""
    dim, regions = widths[0], regions_of(*widths)
    radial = radial_spectrum(regions, moduli, band=ratio, **given)
    kinks, box = asymptotic_power(regions)
    for power, level, exponent in ((radial.power, box, dim + 1), (radial.kinks, kinks, dim + 3)):
        rising = SURFACES[dim] * power * np.power(moduli, exponent)[:, None]
        expected = band_mean(level, exponent, ratio)
        # Parallel sides and close kinks interfere with periods of 2 pi over their distance;
        # bands hold many of them, sampled tens of thousands of times: 1 / sqrt of that.
        np.testing.assert_allclose(rising.mean(axis=0), expected, rtol=0.015)


@pytest.mark.parametrize("bias", [True, False])
def test_the_levels_in_the_plane(bias):
    """With directions that integrate |F|^2 over the circle exactly."""
    network = perceptron(2, 6, 5, 1, bias=bias, seed=2)
    regions = enumerate_regions(network, [-1, -0.8], [1, 1.1])
    kinks, box = asymptotic_power(regions)
    found_kinks, found_box = levels(regions, circle, np.linspace(300, 330, 24))
    np.testing.assert_allclose(found_kinks, kinks, rtol=0.01)
    np.testing.assert_allclose(found_box, box, rtol=0.02)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_levels_in_space(seed):
    regions = regions_of(3, 5, 1, seed=seed, half=0.5)
    kinks, box = asymptotic_power(regions)
    found_kinks, found_box = levels(regions, sphere, np.linspace(60, 60 + 4 * math.pi, 16))
    np.testing.assert_allclose(found_kinks, kinks, rtol=0.02)
    np.testing.assert_allclose(found_box, box, rtol=0.03)


def levels(regions, rule, moduli: np.ndarray):
    """rho^(n+3) and rho^(n+1) times the integrals over directions, averaged over rho."""
    dim, diagonal = regions.dim, float(np.linalg.norm(regions.upper - regions.lower))
    kinks, whole = [], []
    for rho in moduli:
        directions, weights = rule(rho * diagonal)
        transform = regions_transform(regions, rho * directions)
        bends = transform - box_transform(regions, rho * directions)
        kinks.append(rho ** (dim + 3) * weights @ np.abs(bends) ** 2)
        whole.append(rho ** (dim + 1) * weights @ np.abs(transform) ** 2)
    # Interference of the box's sides has one or two whole periods in the band: a smooth
    # window leaves less of the rest than an even mean.
    window = np.hanning(len(moduli) + 2)[1:-1] if dim == 3 else np.ones(len(moduli))
    return (np.average(part, axis=0, weights=window) for part in (kinks, whole))


@pytest.mark.parametrize("rule", [circle, sphere])
def test_the_rules_for_directions(rule):
    """The judges themselves: the mean of exp(i z.u) over directions is J_0(z), or sin(z) / z."""
    directions, weights = rule(80.0)
    dim = directions.shape[1]
    assert weights.sum() == pytest.approx(SURFACES[dim], rel=1e-13)
    for z in (1.0, 40.0, 80.0):
        axis = np.linspace(1, 2, dim) / np.linalg.norm(np.linspace(1, 2, dim))
        mean = weights @ np.cos(z * directions @ axis) / SURFACES[dim]
        expected = special.jv(0, z) if dim == 2 else math.sin(z) / z
        # Harmonics 30 beyond the phase are below 1e-9, and soon nothing.
        assert mean == pytest.approx(expected, abs=1e-9)


# Decay.


@pytest.mark.parametrize(
    ("widths", "kinks", "whole"), [((1, 8, 6, 2), 2, 1), ((2, 6, 5, 2), 2.5, 1.5)]
)
def test_exponents(widths, kinks, whole):
    """Kinks fall like rho^-((n + 3) / 2) in amplitude, the box's edge like rho^-((n + 1) / 2)."""
    moduli = np.geomspace(100, 1000, 8)
    given = {"count": 20_000} if widths[0] == 1 else {}
    radial = radial_spectrum(regions_of(*widths), moduli, band=1.5, **given)
    # Levels are right to 5 % or so at each of 8 moduli, over a factor of 10.
    np.testing.assert_allclose(decay_exponent(moduli, radial.kinks), kinks, atol=0.05)
    np.testing.assert_allclose(decay_exponent(moduli, radial.power), whole, atol=0.05)


@pytest.mark.parametrize(("widths", "gain"), [((1, 8, 6, 2), 1.0), ((2, 6, 5, 2), 1.5)])
def test_the_ball_adds_to_the_exponent(widths, gain):
    """(n + 1) / 2 once r |w| is large; a fixed number of points adds nothing."""
    moduli = np.geomspace(100, 1000, 8)
    given = {"count": 20_000} if widths[0] == 1 else {}
    filters = {"ball": averaging_filter(0.5), "draw": averaging_filter(0.5, "ball")}
    radial = radial_spectrum(regions_of(*widths), moduli, band=1.5, filters=filters, **given)
    plain = decay_exponent(moduli, radial.power)
    np.testing.assert_allclose(
        decay_exponent(moduli, radial.filtered["ball"]) - plain, gain, atol=0.1
    )
    np.testing.assert_allclose(
        decay_exponent(moduli, radial.filtered["draw"]) - plain, 0, atol=0.15
    )
    kinks = decay_exponent(moduli, radial.filtered_kinks["ball"])
    np.testing.assert_allclose(kinks - decay_exponent(moduli, radial.kinks), gain, atol=0.1)


def test_exponent_of_a_power_law():
    w = np.array([3.0, 10.0, 11.0, 500.0])
    power = np.stack([7 * w**-3.0, 1e-9 * w**-4.6], axis=1)
    np.testing.assert_allclose(decay_exponent(w, power), [1.5, 2.3], rtol=1e-13)


# What radial_spectrum is a mean of.


def test_equals_the_exact_mean_over_the_circle():
    regions, moduli = regions_of(2, 6, 5, 2), [3.0, 40.0, 200.0]
    radial = radial_spectrum(regions, moduli)
    np.testing.assert_array_equal(radial.magnitudes, moduli)
    assert radial.power.shape == radial.kinks.shape == (3, 2)
    for i, rho in enumerate(moduli):
        directions, weights = circle(rho * math.sqrt(8))
        parts = facet_transform(regions, rho * directions)
        for found, part in ((radial.power[i], parts.total), (radial.kinks[i], parts.kinks)):
            mean = weights @ np.abs(part) ** 2 / (2 * math.pi)
            # Evenly spaced directions integrate periodic functions exactly once they
            # resolve them.
            np.testing.assert_allclose(found, mean, rtol=1e-9)


def test_one_direction_in_one_dimension():
    regions, moduli = regions_of(1, 6, 2), np.array([2.0, 30.0])
    radial = radial_spectrum(regions, moduli, filters={"half": lambda w: np.full(len(w), 0.5j)})
    expected = np.abs(regions_transform(regions, moduli[:, None])) ** 2
    np.testing.assert_allclose(radial.power, expected, rtol=1e-13)
    kinks = np.abs(facet_transform(regions, moduli[:, None]).kinks) ** 2
    np.testing.assert_allclose(radial.kinks, kinks, rtol=1e-11)
    np.testing.assert_allclose(radial.filtered["half"], expected / 4, rtol=1e-13)
    np.testing.assert_allclose(radial.filtered_kinks["half"], kinks / 4, rtol=1e-11)


def test_space_at_moderate_frequencies():
    """n = 3: a thousand drawn directions are an estimate, here to a few per cent."""
    regions, rho = regions_of(3, 5, 2, half=0.5), 6.0
    directions, weights = sphere(rho * math.sqrt(3))
    exact = weights @ np.abs(regions_transform(regions, rho * directions)) ** 2 / (4 * math.pi)
    found = radial_spectrum(regions, [rho], count=4000).power[0]
    np.testing.assert_allclose(found, exact, rtol=0.1)
    again, other = (radial_spectrum(regions, [rho], count=50, seed=s).power for s in (0, 1))
    np.testing.assert_array_equal(again, radial_spectrum(regions, [rho], count=50, seed=0).power)
    assert (again != other).any()


def test_space_where_lobes_are_narrow():
    """At |w| times the diagonal of 104, chosen frequencies find lobes that 1,000 miss."""
    regions = regions_of(3, 8, 1)
    rho = 30.0
    rule, weights = sphere(rho * np.linalg.norm(regions.upper - regions.lower))
    exact = weights @ np.abs(regions_transform(regions, rho * rule)) ** 2 / weights.sum()
    found = [radial_spectrum(regions, [rho], seed=seed).power[0] for seed in range(3)]
    # 16,384 scrambled Sobol points: within 5 % (0.4 to 2.3 % with these seeds).
    np.testing.assert_allclose(found, np.tile(exact, (3, 1)), rtol=0.05)


def test_too_many_directions_are_not_chosen_silently():
    with pytest.raises(InputError, match="lower the highest one, or state a count"):
        radial_spectrum(regions_of(3, 4, 1), [1e4])


def test_a_band_is_a_mean_over_moduli():
    regions, rho, ratio = regions_of(1, 6, 2), 50.0, 1.2
    radial = radial_spectrum(regions, [rho], band=ratio, count=4000)
    places = (np.arange(20_000) + 0.5) / 20_000 - 0.5
    even = regions_transform(regions, rho * ratio ** places[:, None])
    # Both rules are even to 1 / 4000 over some 9 units of |w|, in which |F|^2 turns 3 times.
    np.testing.assert_allclose(radial.power[0], (np.abs(even) ** 2).mean(axis=0), rtol=1e-2)


def test_progress_and_refusals():
    regions, seen = regions_of(1, 3, 1), []
    radial_spectrum(regions, [1.0, 2.0], progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]
    for bad in ([0.0], [-1.0], [1.0, math.nan], [math.inf], np.ones((2, 2))):
        with pytest.raises(InputError, match="positive finite magnitudes"):
            radial_spectrum(regions, bad)
    for band in (0.9, math.nan, math.inf):
        with pytest.raises(InputError, match="band of 1 or more"):
            radial_spectrum(regions, [1.0], band=band)


def test_an_affine_network_has_no_kinks():
    kinks, box = asymptotic_power(regions_of(2, 3))
    np.testing.assert_array_equal(kinks, np.zeros(3))
    assert (box > 0).all()
