"""Averaged votes of two-input networks: integrals over polygons against other ways to get them."""

import itertools
import math

import mpmath
import numpy as np
import pytest
import torch
from scipy.special import ndtr
from torch import nn

from bandlimiter.models.perceptron import build_perceptron

CENTRES = np.array([[0.0, 0.0], [0.3, -0.2], [-2.0, 1.5], [0.5, 0.7]])


def edges(corners):
    corners = np.asarray(corners, dtype=np.float64)
    return np.stack([corners, np.roll(corners, -1, axis=0)], axis=1)


@pytest.mark.parametrize("sigma", [0.2, 1.0])
@pytest.mark.parametrize("size", [(1.0, 0.5), (3.0, 40.0)])
def test_rectangles_are_products(tool, sigma, size):
    """With centres within, outside, on an edge's line and at a corner; a sum of few roundings."""
    low, unit = np.array([0.5, -0.3]), np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    found = tool("polygons").mass(edges(low + unit * size), CENTRES, sigma)
    sides = [ndtr((low + size - c) / sigma) - ndtr((low - c) / sigma) for c in CENTRES]
    np.testing.assert_allclose(found, np.prod(sides, axis=1), rtol=0, atol=1e-15)


@pytest.mark.parametrize("corners", [[(-1, -1), (2, -0.5), (0.1, 1.7)], [(1, 1), (1.5, 1), (1, 3)]])
def test_triangles_by_quadrature(tool, corners):
    """Of the density over (u, v) -> a + u (b - a) + v u (c - b), to 1e-12."""
    a, b, c = (np.array(corner, dtype=float) for corner in corners)
    area = abs(np.linalg.det(np.stack([b - a, c - b])))
    for centre in CENTRES[:2]:

        def density(u, v, centre=centre):
            p = [a[i] + u * (b - a)[i] + v * u * (c - b)[i] - centre[i] for i in (0, 1)]
            return u * area * mpmath.exp(-(p[0] ** 2 + p[1] ** 2) / 2) / (2 * mpmath.pi)

        expected = float(mpmath.quad(density, [0, 1], [0, 1]))
        found = tool("polygons").mass(edges(corners), centre[None], 1.0)
        assert found[0] == pytest.approx(expected, abs=1e-12)


def test_two_half_planes(tool):
    """A linear network: Phi of the distance, and that distance is where the label changes."""
    polygons = tool("polygons")
    network = nn.Sequential(nn.Linear(2, 2)).double().eval()
    network[0].weight.data = torch.tensor([[3.0, 4.0], [0.0, 0.0]], dtype=torch.float64)
    network[0].bias.data = torch.tensor([-1.0, 0.0], dtype=torch.float64)
    areas = polygons.edges_of_labels(network, 5.0)
    distances = (CENTRES @ [3, 4] - 1) / 5
    found = polygons.masses(areas, CENTRES, 0.25)
    np.testing.assert_allclose(found[:, 0], ndtr(distances / 0.25), rtol=0, atol=1e-12)
    for centre, distance in zip(CENTRES[[0, 1, 3]], distances[[0, 1, 3]], strict=True):
        found = polygons.distance_to_change(areas, centre, 0.25, limit=1.5)
        # The best of directions at most 2 pi / 64 / 8 / 8 / 8 apart: 1 / cos of that is 1 + 1e-7.
        assert found == pytest.approx(abs(distance), rel=1e-6)
    assert polygons.distance_to_change(areas, CENTRES[2], 0.25, limit=abs(distances[2]) / 2) == (
        math.inf
    )


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_networks_against_counting(tool, classes):
    """Of 400,000 points: five standard deviations are 0.004."""
    polygons = tool("polygons")
    network = build_perceptron((2, 12, 12, classes), seed=classes, dtype=torch.float64)
    for part in network:
        if isinstance(part, nn.Linear):  # many regions, and all classes among them
            part.weight.data *= 4
    areas = polygons.edges_of_labels(network, 8.0)
    found = polygons.masses(areas, CENTRES, 0.5)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=0, atol=1e-12)
    noise = torch.from_numpy(np.random.default_rng(0).normal(scale=0.5, size=(400_000, 2)))
    for centre, shares in zip(CENTRES, found, strict=True):
        with torch.no_grad():
            votes = network(noise + torch.from_numpy(centre)).argmax(dim=1)
        counted = torch.bincount(votes, minlength=classes) / len(noise)
        np.testing.assert_allclose(shares, counted, rtol=0, atol=0.004)


def test_change_is_found_where_counting_on_a_grid_finds_it(tool):
    polygons, truth = tool("polygons"), tool("truth")
    network, _ = truth.trained(0)
    areas = polygons.edges_of_labels(network, 5.0)
    x, sigma = np.array([0.1, 0.3]), 0.25
    found = polygons.distance_to_change(areas, x, sigma, limit=1.0)
    side = np.linspace(-1, 1, 101)
    grid = x + np.array(list(itertools.product(side, side)))
    labels = polygons.masses(areas, grid, sigma).argmax(axis=1)
    label = polygons.masses(areas, x[None], sigma).argmax()
    nearest = np.linalg.norm(grid[labels != label] - x, axis=1).min()
    assert found <= nearest + 1e-9
    assert nearest - found < 0.02 * math.sqrt(2)  # a cell's diagonal


@pytest.mark.slow
def test_certificates_of_a_small_network_are_true(tool):
    """Of 20 points at alpha 0.01 and 0.001, more than 3 false ones have probability 1e-4."""
    truth, polygons = tool("truth"), tool("polygons")
    network, name = truth.trained(1)
    areas = polygons.edges_of_labels(network, 1.2 + 16 * 0.25)
    rows = truth.study(1, network, areas, truth.points_for(1, name, 20, 0.25), 0.25, 2000)
    for alpha in truth.ALPHAS:
        mine = [row[f"{alpha:g}"] for row in rows]
        assert sum(each["false"] for each in mine) <= 3
        assert sum(each["beyond"] for each in mine) <= 3
        assert sum(each["radius"] > 0 for each in mine) > 10
    for row in rows:
        assert abs(row["missing"]) < 1e-9
        assert truth.theorem(row) <= row["distance"] + 1e-6  # as the theorem says
