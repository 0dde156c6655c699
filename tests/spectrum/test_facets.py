"""The facet form: kinks and box add up to the transform, and each is what it says."""

import math

import numpy as np
import pytest
import torch

from bandlimiter.errors import InputError
from bandlimiter.geometry import enumerate_regions
from bandlimiter.spectrum import facet_transform, network_transform, regions_transform
from bandlimiter.spectrum.facets import facet_slopes
from tests.spectrum.networks import Residual, evaluate, frequencies, moved, perceptron, worst


def in_box(network, dim, lower=-1.0, upper=1.0):
    return enumerate_regions(network, np.full(dim, lower), np.full(dim, upper))


@pytest.mark.parametrize(
    ("widths", "bias", "activation"),
    [
        ((1, 12, 12, 2), True, "relu"),
        ((1, 12, 1), False, "relu"),
        ((2, 12, 12, 2), True, "relu"),
        ((2, 10, 10, 1), False, "relu"),
        ((2, 8, 8, 2), True, "hardtanh"),
        ((3, 6, 5, 2), True, "relu"),
        ((3, 6, 4, 1), False, "leaky_relu"),
        ((4, 4, 4, 2), True, "relu"),
        ((4, 4, 3, 1), False, "relu"),
    ],
)
def test_the_total_is_the_transform(widths, bias, activation):
    network, dim = perceptron(*widths, bias=bias, activation=activation, seed=4), widths[0]
    lower, upper = -np.ones(dim), np.linspace(0.6, 1.3, dim)
    least = 30 / np.linalg.norm(upper - lower)
    axes = least * 2 * np.concatenate([np.eye(dim), -np.eye(dim)])
    waves = np.concatenate([frequencies(20, dim, least, 100 * least), axes])
    found = facet_transform(enumerate_regions(network, lower, upper), waves).total
    expected = network_transform(network, waves, lower=lower, upper=upper)
    error, where = worst(found / expected, 1, waves)
    # Terms of either form fall like |w|^-n and slower, while sums fall faster on most
    # directions: up to 4 digits cancel, of 14 or more. Up to 4e-12 is seen.
    assert error < 1e-10, where


def test_a_residual_network():
    regions, waves = in_box(Residual(2, 1), 2), frequencies(20, 2, 12, 300)
    found, expected = facet_transform(regions, waves).total, regions_transform(regions, waves)
    error, where = worst(found / expected, 1, waves)
    assert error < 1e-10, where  # as above


def test_one_kink_in_one_dimension():
    """For relu(x): the kink is -w^-2, and the box's end gives (f' + i w f) exp(-i w) / w^2."""
    network = perceptron(1, 1, 1)
    for layer in (network[0], network[2]):
        torch.nn.init.ones_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    waves = np.array([[0.5], [-3.0], [40.0]])
    parts, w = facet_transform(in_box(network, 1), waves), waves[:, 0]
    factor = 1 / math.sqrt(2 * math.pi)
    np.testing.assert_allclose(parts.kinks[:, 0], -factor / w**2, rtol=1e-15)
    ends = factor * (1 + 1j * w) * np.exp(-1j * w) / w**2
    np.testing.assert_allclose(parts.box[:, 0], ends, rtol=1e-14)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_an_affine_network_has_no_kinks(dim):
    regions, waves = in_box(perceptron(dim, 2), dim), frequencies(5, dim, 30, 100)
    parts = facet_transform(regions, waves)
    np.testing.assert_array_equal(parts.kinks, np.zeros((5, 2)))
    np.testing.assert_allclose(parts.box, regions_transform(regions, waves), atol=1e-14)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_kinks_forget_an_affine_part(dim):
    """Adding an affine function changes the box's part alone."""
    network, waves = perceptron(dim, 6, 5, 2, seed=1), frequencies(10, dim, 30, 100)

    class Tilted(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network, self.tilt = network, perceptron(dim, 2, seed=9)

        def forward(self, x):
            return self.network(x) + self.tilt(x)

    plain, tilted = (facet_transform(in_box(f, dim), waves) for f in (network, Tilted()))
    # Slopes are differences of gradients of order one.
    np.testing.assert_allclose(tilted.kinks, plain.kinks, atol=1e-16)
    assert np.abs(tilted.box - plain.box).min() > 1e-8


@pytest.mark.parametrize("dim", [1, 2, 3, 4])
def test_slopes_by_differences(dim):
    """Each facet's outward slopes, added up, from three points of the torch network."""
    network = perceptron(dim, 5, 4, 2, seed=6)
    regions, step, checked = in_box(network, dim), 1e-7, {True: 0, False: 0}
    slopes = facet_slopes(regions)
    for facet in range(len(slopes)):
        corners = regions.vertices[regions.facet_vertices(facet)]
        middle = corners.mean(axis=0)
        normal = np.linalg.svd(np.vstack([corners - middle, np.zeros((dim, dim))]))[2][-1]
        x = middle + step * np.array([-1, 0, 1])[:, None] * normal
        owners = regions.locate(x[::2])
        inside = regions.facet_regions[facet, 1] >= 0
        if sorted(owners) != sorted(regions.facet_regions[facet]):
            continue  # so small a facet that the points pass its neighbours by
        before, on, after = evaluate(network, x)
        if inside:
            expected = (2 * on - before - after) / step
        else:
            expected = (on - (before if owners[0] >= 0 else after)) / step
        # Four values of order one, over the step; on some kernels three layers round each of them
        # by 1e-14.
        np.testing.assert_allclose(slopes[facet], expected, atol=4e-14 / step, rtol=0)
        checked[inside] += 1
    assert checked[True] > 0.9 * (regions.facet_regions[:, 1] >= 0).sum()
    assert checked[False] > 0.9 * (regions.facet_regions[:, 1] < 0).sum()


def test_translation_leaves_both_parts_their_moduli():
    network, shift, waves = perceptron(2, 8, 2, seed=2), [0.5, -2.0], frequencies(9, 2, 20, 90)
    there = moved(network, np.eye(2), [-0.5, 2.0])  # x -> f(x - shift)
    plain = facet_transform(in_box(network, 2), waves)
    found = facet_transform(enumerate_regions(there, np.add(shift, -1), np.add(shift, 1)), waves)
    turn = np.exp(-1j * waves @ shift)[:, None]
    # Vertices are rounded anew: phases of 90 * 2 to 1e-14, of terms of 1e-2 and less.
    np.testing.assert_allclose(found.kinks, turn * plain.kinks, atol=1e-15)
    np.testing.assert_allclose(found.box, turn * plain.box, atol=1e-15)


def test_refusals():
    regions = in_box(perceptron(2, 3, 1), 2)
    with pytest.raises(InputError, match="other than zero"):
        facet_transform(regions, [[1.0, 0.0], [0.0, 0.0]])
    for waves in (np.ones(2), np.ones((4, 3)), [[math.nan, 0.0]]):
        with pytest.raises(InputError, match="frequencies"):
            facet_transform(regions, waves)
    nothing = facet_transform(regions, np.zeros((0, 2)))
    assert nothing.total.shape == (0, 1)
