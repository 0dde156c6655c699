"""Shares of regions in the energy at some frequencies."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial import ConvexHull

from bandlimiter.errors import InputError
from bandlimiter.geometry import enumerate_regions
from bandlimiter.spectrum import asymptotic_power, region_shares, shares
from tests.geometry.networks import one_function_twice
from tests.spectrum.networks import frequencies, perceptron
from tests.spectrum.quadrature import duffy


def regions_of(*widths: int, seed: int = 1):
    dim = widths[0]
    return enumerate_regions(perceptron(*widths, seed=seed), -np.ones(dim), np.ones(dim))


@pytest.mark.parametrize("widths", [(1, 8, 6, 2), (2, 8, 6, 2), (3, 5, 4, 1), (4, 4, 1)])
def test_each_adds_up_to_one(widths):
    regions = regions_of(*widths)
    found = region_shares(regions, frequencies(20, widths[0], 5, 100))
    for part in (found.volume, found.surface, found.band, found.kinks):
        assert part.shape == (len(regions),)
        assert part.sum() == pytest.approx(1, abs=1e-12)
    assert (found.volume > 0).all()
    assert (found.surface > 0).all()
    assert (found.kinks >= 0).all()


@pytest.mark.parametrize("widths", [(1, 8, 2), (2, 6, 5, 2), (3, 4, 2)])
def test_the_band_written_out(widths):
    """Facet by facet: what both sides' boundary integrals leave of each other, by quadrature."""
    dim = widths[0]
    regions, waves = regions_of(*widths), frequencies(15, dim, 2, 30)
    cut, sides = regions.facet_triangulation, regions.facet_regions
    corners = regions.vertices[cut.simplices]  # [Q, n, n]
    shape, weights = duffy(dim - 1, 24) if dim > 1 else (np.ones((1, 1)), np.ones(1))
    waved = np.exp(-1j * np.einsum("pj,qjn,fn->fqp", shape, corners, waves))
    integrals = (waved @ weights) * cut.jacobians
    terms = np.zeros((len(waves), len(sides), regions.network.outputs), dtype=complex)
    for simplex, facet in enumerate(cut.owners):
        a, b = sides[facet]
        if b >= 0:
            # The jump along the line from a's middle to b's, by the two affine maps alone.
            middle = [regions.vertices[regions.vertices_of(r)].mean(axis=0) for r in (a, b)]
            change = regions.weights[a] - regions.weights[b]
            sign = np.sign(change @ (middle[1] - middle[0]))
            terms[:, facet] += np.outer(
                integrals[:, simplex], sign * np.linalg.norm(change, axis=1)
            )
    terms /= (waves**2).sum(axis=1)[:, None, None]
    energy = (terms.sum(axis=1, keepdims=True).conj() * terms).real.sum(axis=(0, 2))
    expected = np.zeros(len(regions))
    for (a, b), amount in zip(sides, energy, strict=True):
        if b >= 0:
            expected[[a, b]] += amount / 2
    # Gauss rules of 24 nodes resolve phases of up to 30 times the box's diagonal to 1e-10.
    np.testing.assert_allclose(
        region_shares(regions, waves).band, expected / expected.sum(), atol=1e-8
    )
    one = region_shares(regions, waves, output=1)
    assert (np.abs(one.kinks - region_shares(regions, waves).kinks) > 0).any()
    assert one.band.sum() == pytest.approx(1)


def test_a_few_numbers_at_a_time(monkeypatch):
    regions, waves = regions_of(2, 6, 5, 2), frequencies(23, 2, 2, 60)
    whole = region_shares(regions, waves).band
    inside = int((regions.facet_regions[:, 1] >= 0).sum())
    monkeypatch.setattr(shares, "_NUMBERS", 5 * 2 * inside)
    np.testing.assert_allclose(region_shares(regions, waves).band, whole, atol=1e-13)


def test_three_pieces_by_hand():
    """n = 1: slopes 0, 1, -1 on parts of 1/2, 1/4 and 1/4; squared jumps 1 and 4."""
    network = perceptron(1, 2, 1)
    with torch.no_grad():
        network[0].weight.fill_(1)
        network[0].bias.copy_(torch.tensor([0.0, -0.5]))
        network[2].weight.copy_(torch.tensor([[1.0, -2.0]]))
        network[2].bias.zero_()
    regions = enumerate_regions(network, [-1], [1])
    found = region_shares(regions, [[7.0]])
    order = np.argsort([regions.vertices[regions.vertices_of(r), 0].mean() for r in range(3)])
    np.testing.assert_allclose(found.volume[order], [0.5, 0.25, 0.25], atol=1e-15)
    np.testing.assert_allclose(found.surface[order], [0.25, 0.5, 0.25], atol=1e-15)
    np.testing.assert_allclose(found.kinks[order], [0.1, 0.5, 0.4], atol=1e-15)


@pytest.mark.parametrize("dim", [2, 3])
def test_facets_by_neighbours(dim):
    """Surface and kinks, from pairs of regions: common vertices' hull, and gradients' change."""
    regions = regions_of(dim, 4, 3, 2, seed=5)
    members = [set(regions.vertices_of(r).tolist()) for r in range(len(regions))]
    surface, kinks = np.zeros((2, len(regions)))
    for a in range(len(regions)):
        for b in range(a):
            common = sorted(members[a] & members[b])
            if len(common) < dim:
                continue
            x = regions.vertices[common]
            _, sizes, axes = np.linalg.svd(x - x.mean(axis=0))
            if (sizes > 1e-9).sum() != dim - 1:
                continue
            flat = (x - x.mean(axis=0)) @ axes[: dim - 1].T
            size = float(np.ptp(flat)) if dim == 2 else ConvexHull(flat).volume
            change = ((regions.weights[a] - regions.weights[b]) ** 2).sum()
            for region in (a, b):
                surface[region] += size
                kinks[region] += size * change
    found = region_shares(regions, frequencies(2, dim, 5, 9))
    np.testing.assert_allclose(found.surface, surface / surface.sum(), atol=1e-12)
    np.testing.assert_allclose(found.kinks, kinks / kinks.sum(), atol=1e-12)
    # Each facet was counted at both of its regions.
    level = asymptotic_power(regions)[0].sum() * math.pi
    assert kinks.sum() / 2 == pytest.approx(level, rel=1e-12)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_an_affine_network_has_no_kinks(dim):
    regions = regions_of(dim, 2)
    found = region_shares(regions, frequencies(5, dim, 3, 9))
    np.testing.assert_array_equal(found.kinks, [0.0])
    np.testing.assert_array_equal(found.surface, [0.0])
    np.testing.assert_array_equal(found.band, [0.0])


def test_a_network_that_is_zero_has_no_energy_to_share():
    network = perceptron(2, 3, 1)
    torch.nn.init.zeros_(network[2].weight)
    torch.nn.init.zeros_(network[2].bias)
    regions = enumerate_regions(network, -np.ones(2), np.ones(2))
    assert len(regions) > 1
    found = region_shares(regions, frequencies(5, 2, 3, 9))
    np.testing.assert_array_equal(found.band, np.zeros(len(regions)))
    np.testing.assert_array_equal(found.kinks, np.zeros(len(regions)))
    assert found.surface.sum() == pytest.approx(1)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_what_cancels_but_for_rounding_has_no_energy_to_share(dim):
    """f - f bends nowhere, though its second half is summed in another order."""
    regions = enumerate_regions(one_function_twice(1, dim, 6), -np.ones(dim), np.ones(dim))
    assert len(regions) > 1
    found = region_shares(regions, frequencies(5, dim, 3, 9))
    np.testing.assert_array_equal(found.band, np.zeros(len(regions)))
    np.testing.assert_array_equal(found.kinks, np.zeros(len(regions)))
    assert found.surface.sum() == pytest.approx(1)


def test_the_smallest():
    found = shares.RegionShares(
        volume=np.array([0.4, 0.1, 0.3, 0.2]),
        surface=np.array([0.1, 0.2, 0.3, 0.4]),
        band=np.array([1.0, -0.5, 0.25, 0.25]),
        kinks=np.array([0.7, 0.0, 0.2, 0.1]),
    )
    half = found.of_smallest(0.5)
    expected = {"volume": 0.3, "surface": 0.6, "band": -0.25, "kinks": 0.1}
    assert half == pytest.approx(expected)
    assert found.of_smallest(1.0) == pytest.approx(dict.fromkeys(expected, 1.0))
    assert found.of_smallest(0.0) == dict.fromkeys(expected, 0.0)


def test_refusals():
    regions = regions_of(2, 3, 1)
    for waves in (np.ones(2), np.ones((4, 3)), [[math.nan, 0.0]]):
        with pytest.raises(InputError, match="frequencies"):
            region_shares(regions, waves)
