"""The averaged network's transform against averages made point by point."""

import math

import numpy as np
import pytest
import torch
from scipy import signal

from bandlimiter import PostAverage
from bandlimiter.errors import ConfigurationError, InputError
from bandlimiter.sampling import SAMPLERS, build_sampler, draw_vectors
from bandlimiter.spectrum import averaged_transform, averaging_filter, network_transform
from tests.spectrum.networks import evaluate, frequencies, moved, perceptron, worst
from tests.spectrum.quadrature import box_grid, breakpoints, gauss, grid_transform, line_transform


@pytest.mark.parametrize("radius", [0.05, 0.4, 3.0])
def test_the_interval_s_average(radius):
    """n = 1: f on [lower, upper], zero outside, averaged over x - r to x + r, then integrated."""
    network, lower, upper = perceptron(1, 8, 6, 2, seed=1), -1.0, 1.5
    edges = breakpoints(network, lower, upper)
    nodes, weights = gauss(2)  # exact for an affine f

    def integral_between(a: float, b: float) -> np.ndarray:
        cuts = np.unique(np.clip(np.concatenate([[a, b], edges]), max(a, lower), min(b, upper)))
        steps = np.diff(cuts)
        if len(steps) == 0:
            return np.zeros(2)
        x = (cuts[:-1, None] + steps[:, None] * nodes).reshape(-1, 1)
        return (steps[:, None] * weights).ravel() @ evaluate(network, x)

    def average(x: float) -> np.ndarray:
        return integral_between(x - radius, x + radius) / (2 * radius)

    waves = np.concatenate([np.zeros((1, 1)), frequencies(8, 1, 0.1, 30)])
    places = np.unique(np.concatenate([edges - radius, edges + radius]))
    expected = line_transform(average, places, waves)
    found = averaged_transform(network, waves, lower=lower, upper=upper, radius=radius)
    error, where = worst(found, expected, waves)
    # quad_vec's tolerance is 1e-12; breakpoints are known to 1e-14.
    assert error < 1e-11, where


def disc(radius: float, step: float) -> np.ndarray:
    """The part of each cell around the origin that lies in a disc, by 64 by 64 points a cell."""
    reach = math.ceil(radius / step + 0.5)
    fine = ((np.arange((2 * reach + 1) * 64) + 0.5) / 64 - reach - 0.5) * step
    inside = (fine[:, None] ** 2 + fine**2 <= radius**2).astype(float)
    return inside.reshape(2 * reach + 1, 64, 2 * reach + 1, 64).mean(axis=(1, 3))


def test_the_disc_s_average():
    """n = 2: cell means of f, averaged over a disc cell by cell, and summed."""
    network, radius = perceptron(2, 8, 6, 2, seed=1), 0.23
    lower, upper = np.array([-1.0, -0.5]), np.array([0.5, 1.0])
    waves = np.concatenate([np.zeros((1, 2)), frequencies(8, 2, 0.5, 25)])
    found = averaged_transform(network, waves, lower=lower, upper=upper, radius=radius)
    size = np.abs(found).max()
    errors = []
    for cells in (75, 300):
        step = 1.5 / cells
        (x, _), (y, _) = box_grid(lower, upper, cells, 1)
        points = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1)
        values = evaluate(network, points.reshape(-1, 2)).reshape(cells, cells, 2)
        kernel = disc(radius, step)
        averaged = signal.fftconvolve(values, kernel[:, :, None], axes=(0, 1)) / kernel.sum()
        reach = len(kernel) // 2
        axes = []
        for low in lower:
            centres = low + step * (np.arange(cells + 2 * reach) + 0.5 - reach)
            axes.append((centres, np.full(len(centres), step)))
        expected = grid_transform(averaged, axes, waves)
        errors.append(worst(found / size, expected / size, waves))
    # Midpoints: (|w| step)^2 / 24, up to 1e-3 of the transform, which is 1e-2 of the largest
    # there; and as much again for the disc's cells.
    assert errors[1][0] < 1e-5, errors[1][1]
    assert errors[1][0] < errors[0][0] / 8, errors  # cells a quarter as wide


def offsets_of(name: str, directions: int, dim: int, radius: float, seed: int) -> np.ndarray:
    sampler = build_sampler(name)
    vectors = draw_vectors(sampler, directions, torch.Size([dim]), seed).double().numpy()
    points = [radius * step * v for v in vectors for step in sampler.steps]
    return np.array(points + [np.zeros(dim)] * sampler.centre)


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("dim", [1, 2])
def test_a_draw_is_the_mean_of_shifted_networks(name, dim):
    """The transforms of x -> f(x + o) on the box moved by -o, for each offset o, averaged."""
    directions, radius, seed = min(2, dim), 0.6, 3
    network = perceptron(dim, 5, 4, 2, seed=2)
    lower, upper = -np.ones(dim), np.linspace(0.5, 1, dim)
    waves = np.concatenate([np.zeros((1, dim)), frequencies(8, dim, 0.5, 40)])
    offsets = offsets_of(name, directions, dim, radius, seed)
    assert len(offsets) == 6 * directions + 1
    expected = np.mean(
        [
            network_transform(
                moved(network, np.eye(dim), offset),
                waves,
                lower=lower - offset,
                upper=upper - offset,
            )
            for offset in offsets
        ],
        axis=0,
    )
    found = averaged_transform(
        network,
        waves,
        lower=lower,
        upper=upper,
        radius=radius,
        sampler=name,
        directions=directions,
        seed=seed,
    )
    error, where = worst(found, expected, waves)
    # Boxes and vertices are rounded anew: phases of 40 * 2 to 1e-14.
    assert error < 1e-13, where
    # And by the shifts' own phases.
    plain = network_transform(network, waves, lower=lower, upper=upper)
    phases = np.exp(1j * waves @ offsets.T).mean(axis=1)
    np.testing.assert_allclose(found, phases[:, None] * plain, atol=1e-13, rtol=0)


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_averaged_network_is_the_defence(name):
    """Inside the box, further than the radius from its sides, f_C is what PostAverage answers."""
    directions, radius, seed = 2, 0.3, 5
    network = perceptron(2, 8, 6, 3, seed=4)
    x = np.random.default_rng(0).uniform(-1, 1, size=(50, 2))
    defended = PostAverage(
        network,
        radius,
        directions=directions,
        sampler=name,
        vote="logits",
        scale=1.0,
        seed=seed,
    )
    offsets = offsets_of(name, directions, 2, radius, seed)
    expected = np.mean([evaluate(network, x + offset) for offset in offsets], axis=0)
    # The mean of 13 numbers of order one, summed in another order.
    np.testing.assert_allclose(evaluate(defended, x), expected, atol=1e-14)
    # The same draw as the spectrum's.
    waves = frequencies(5, 2, 1, 30)
    transfer = averaging_filter(radius, name, directions=directions, seed=seed)(waves)
    np.testing.assert_allclose(transfer, defended.transfer(waves), atol=1e-15)


def test_a_defended_network_on_a_line():
    """n = 1, end to end: the values that PostAverage gives, integrated by quadrature.

    The network is zero near the box's ends, so that cutting it off changes nothing.
    """
    network = perceptron(1, 3, 2)
    with torch.no_grad():
        network[0].weight.fill_(1)
        network[0].bias.copy_(torch.tensor([0.5, 0.0, -0.5]))
        # A tent: its slope is 0, 1, -1 and 0 again. And the same upside down.
        network[2].weight.copy_(torch.tensor([[1.0, -2.0, 1.0], [-1.0, 2.0, -1.0]]))
        network[2].bias.zero_()
    radius, seed = 0.3, 1
    defended = PostAverage(network, radius, directions=3, vote="logits", scale=1.0, seed=seed)
    kinks = np.add.outer([-0.5, 0, 0.5], offsets_of("directions", 3, 1, radius, seed)[:, 0])
    edges = np.unique(np.concatenate([[-1, 1], kinks.ravel()]))
    waves = frequencies(10, 1, 0, 60)
    expected = line_transform(lambda x: evaluate(defended, np.array([[x]]))[0], edges, waves)
    found = averaged_transform(
        network,
        waves,
        lower=-1,
        upper=1,
        radius=radius,
        sampler="directions",
        directions=3,
        seed=seed,
    )
    error, where = worst(found, expected, waves)
    # Offsets are float32 numbers, exactly the same ones; quad_vec's tolerance is 1e-12.
    assert error < 1e-11, where


def test_radius_zero_is_the_plain_network():
    network, waves = perceptron(2, 5, 2), frequencies(5, 2, 0, 30)
    plain = network_transform(network, waves, lower=-1, upper=1)
    for sampler in (None, "ball", build_sampler("directions")):
        found = averaged_transform(network, waves, lower=-1, upper=1, radius=0.0, sampler=sampler)
        np.testing.assert_allclose(found, plain, atol=1e-16)


def test_a_name_is_its_sampler():
    waves = frequencies(5, 3, 0, 30)
    named = averaging_filter(0.4, "gaussian", directions=4, seed=2)(waves)
    given = averaging_filter(0.4, build_sampler("gaussian"), directions=4, seed=2)(waves)
    np.testing.assert_array_equal(named, given)
    assert (named != averaging_filter(0.4, "gaussian", directions=4, seed=3)(waves)).any()
    assert averaging_filter(0.4)(waves).dtype == np.complex128


def test_refusals():
    network, waves = perceptron(2, 3, 1), np.ones((1, 2))
    for sampler in (None, "directions"):
        with pytest.raises(ConfigurationError, match="radius"):
            averaged_transform(network, waves, lower=-1, upper=1, radius=-1.0, sampler=sampler)
        with pytest.raises(InputError, match="frequencies"):
            averaged_transform(
                network, [[math.nan, 1.0]], lower=-1, upper=1, radius=1.0, sampler=sampler
            )
    with pytest.raises(ConfigurationError, match="expected a sampler"):
        averaged_transform(network, waves, lower=-1, upper=1, radius=1.0, sampler="dice")
