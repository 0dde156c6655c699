"""Shares of regions in the energy at some frequencies."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial import ConvexHull

from bandlimiter.errors import InputError
from bandlimiter.geometry import enumerate_regions
from bandlimiter.spectrum import asymptotic_power, region_shares, shares, simplex_transform
from tests.spectrum.networks import evaluate, frequencies, perceptron


def regions_of(*widths: int, seed: int = 1):
    dim = widths[0]
    return enumerate_regions(perceptron(*widths, seed=seed), -np.ones(dim), np.ones(dim))


@pytest.mark.parametrize("widths", [(1, 8, 6, 2), (2, 8, 6, 2), (3, 5, 4, 1), (4, 4, 1)])
def test_each_adds_up_to_one(widths):
    regions = regions_of(*widths)
    found = region_shares(regions, frequencies(20, widths[0], 5, 100))
    for part in (found.volume, found.surface, found.projection, found.kinks):
        assert part.shape == (len(regions),)
        assert part.sum() == pytest.approx(1, abs=1e-12)
    assert (found.volume > 0).all()
    assert (found.surface > 0).all()
    assert (found.kinks >= 0).all()


@pytest.mark.parametrize("widths", [(1, 8, 2), (2, 6, 5, 2), (3, 4, 2)])
def test_the_projection_written_out(widths):
    """Each region's own transform, simplex by simplex with torch's values there."""
    network, dim = perceptron(*widths, seed=1), widths[0]
    regions, waves = regions_of(*widths), frequencies(15, dim, 2, 60)
    cut, terms = regions.triangulation, []
    for region in range(len(regions)):
        corners = regions.vertices[cut.simplices[cut.owners == region]]
        values = evaluate(network, corners.reshape(-1, dim)).reshape(*corners.shape[:2], -1)
        terms.append(simplex_transform(corners, values, waves))
    whole = sum(terms)
    energy = (np.abs(whole) ** 2).sum()
    expected = np.array([(whole.conj() * term).real.sum() for term in terms]) / energy
    # Regions' own transforms are up to 100 times the whole, in square and to 1e-15.
    np.testing.assert_allclose(region_shares(regions, waves).projection, expected, atol=1e-11)


def test_a_few_numbers_at_a_time(monkeypatch):
    regions, waves = regions_of(2, 6, 5, 2), frequencies(23, 2, 2, 60)
    whole = region_shares(regions, waves).projection
    monkeypatch.setattr(shares, "_NUMBERS", 5 * 2 * len(regions))
    np.testing.assert_allclose(region_shares(regions, waves).projection, whole, atol=1e-13)


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
    np.testing.assert_allclose(found.projection, [1.0])


def test_a_network_that_is_zero_has_no_energy_to_share():
    network = perceptron(2, 3, 1)
    torch.nn.init.zeros_(network[2].weight)
    torch.nn.init.zeros_(network[2].bias)
    regions = enumerate_regions(network, -np.ones(2), np.ones(2))
    assert len(regions) > 1
    found = region_shares(regions, frequencies(5, 2, 3, 9))
    np.testing.assert_array_equal(found.projection, np.zeros(len(regions)))
    np.testing.assert_array_equal(found.kinks, np.zeros(len(regions)))
    assert found.surface.sum() == pytest.approx(1)


def test_the_smallest():
    found = shares.RegionShares(
        volume=np.array([0.4, 0.1, 0.3, 0.2]),
        surface=np.array([0.1, 0.2, 0.3, 0.4]),
        projection=np.array([1.0, -0.5, 0.25, 0.25]),
        kinks=np.array([0.7, 0.0, 0.2, 0.1]),
    )
    half = found.of_smallest(0.5)
    expected = {"volume": 0.3, "surface": 0.6, "projection": -0.25, "kinks": 0.1}
    assert half == pytest.approx(expected)
    assert found.of_smallest(1.0) == pytest.approx(dict.fromkeys(expected, 1.0))
    assert found.of_smallest(0.0) == dict.fromkeys(expected, 0.0)


def test_refusals():
    regions = regions_of(2, 3, 1)
    for waves in (np.ones(2), np.ones((4, 3)), [[math.nan, 0.0]]):
        with pytest.raises(InputError, match="frequencies"):
            region_shares(regions, waves)
