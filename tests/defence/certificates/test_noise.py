"""Noise on a lattice: what is drawn, where it falls, and how far it is from the true law."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from scipy.stats import kstest, norm

from bandlimiter.defence.certificates import BallNoise, GaussianNoise, Lattice, lattice_for
from bandlimiter.defence.certificates.noise import Stream, _table
from bandlimiter.errors import ConfigurationError
from bandlimiter.tensors import generator

CPU = torch.device("cpu")
COLLIDING = ((25, "estimation", 1589), (35, "estimation", 2296))
NOISES = [GaussianNoise, BallNoise]


def drawn(noise, count, dim, name="a"):
    """Offsets [count, n], in the units of x."""
    zero = torch.zeros(dim, dtype=torch.int32)
    return noise.around(zero, count, Stream(0, (name,), CPU)).double().numpy()


@pytest.mark.parametrize("sigma", [0.01, 0.25, 1.0])
def test_normal_noise_is_normal(sigma):
    """Kolmogorov and Smirnov's test at 100,000 draws sees shifts of 0.4 %; the lattice's steps,
    a fortieth of the smallest sigma here, are smoothed by uniform noise of their width."""
    noise = GaussianNoise(sigma)
    values = drawn(noise, 100, 1000).ravel()
    numbers = np.rint(values * noise.lattice.steps)
    assert np.array_equal(values.astype(np.float32), (numbers / noise.lattice.steps).astype("f4"))
    width = 1 / noise.lattice.steps
    jittered = values + np.random.default_rng(0).uniform(-width / 2, width / 2, values.shape)
    assert kstest(jittered, norm(scale=sigma).cdf).pvalue > 1e-4


@pytest.mark.parametrize("dim", [1, 2, 5, 3072])
def test_ball_noise_fills_the_ball_evenly(dim):
    sigma, noise = 0.25, BallNoise(0.25)
    values = drawn(noise, 4000, dim)
    radius, step = sigma * (dim + 2) ** 0.5, 1 / noise.lattice.steps
    lengths = np.linalg.norm(values, axis=1)
    assert lengths.max() <= radius + dim**0.5 * step / 2
    # |U| / r to the power of n is uniform; rounding moves lengths by some steps at most.
    assert abs(np.mean((lengths / radius) ** dim < 0.5) - 0.5) < 5 * 0.5 / 4000**0.5 + dim * step
    assert abs(values.std() - sigma) < 5 * sigma / (2 * values.size) ** 0.5 + step


@pytest.mark.parametrize("kind", NOISES)
def test_draws_are_named_and_repeat(kind):
    noise = kind(0.1)
    once = drawn(noise, 3, 7)
    assert np.array_equal(once, drawn(noise, 3, 7))
    assert not np.array_equal(once, drawn(noise, 3, 7, name="b"))
    assert len(np.unique(once)) > 15


@pytest.mark.parametrize("sigma", [0.001, 0.03, 0.7])
def test_the_table_s_law_is_known_exactly(sigma):
    """Every place of the alias table counted: shares add up to one, and each is the cell's."""
    steps = lattice_for(sigma).steps
    table = _table(sigma * steps)
    full = 1 << table.shift
    shares: dict[int, int] = {}
    for threshold, own, other in zip(table.threshold, table.own, table.other, strict=True):
        shares[int(own)] = shares.get(int(own), 0) + int(threshold)
        shares[int(other)] = shares.get(int(other), 0) + full - int(threshold)
    assert sum(shares.values()) == 2**63
    assert full * len(table.own) == 2**63
    numbers = np.array(sorted(shares))
    ends = norm.cdf((numbers[:, None] + [-0.5, 0.5]) / (sigma * steps))
    found = np.array([float(Fraction(shares[each], 2**63)) for each in numbers.tolist()])
    np.testing.assert_allclose(found, ends[:, 1] - ends[:, 0], rtol=0, atol=1e-15)  # of the cdf


def test_one_pass_and_the_reference_draw_the_same():
    """The loop for CPUs against tensor operations, which a GPU runs."""
    noise, numbers = GaussianNoise(0.3), torch.tensor([0, 4080, -(2**24), 2**24 - 1, 77])
    numbers = numbers.to(torch.int32)
    stream = Stream(3, ("x",), CPU)
    bits = torch.from_numpy((stream.bits().random_raw(5 * 40) >> np.uint64(1)).astype(np.int64))
    expected = noise.lattice.points(noise.look_up(bits.view(40, 5)) + numbers)
    found = noise.around(numbers, 40, stream)
    assert torch.equal(found, expected)
    assert found.dtype == torch.float32
    assert found.abs().max() == torch.tensor(2**24 / 4080)  # saturated


def test_8_bit_pixels_are_points_and_are_shown_as_they_are():
    pixels = torch.arange(256, dtype=torch.float32) / 255
    for sigma in (0.001, 0.25):
        lattice = lattice_for(sigma)
        numbers, moved = lattice.round(pixels[None])
        assert float(moved) == 0
        assert torch.equal(lattice.points(numbers)[0], pixels)
    for near in (pixels.double(), torch.arange(256, dtype=torch.float64) / 255):
        assert float(Lattice(4080).round(near[None])[1]) == 0
    assert float(Lattice(4080).round(pixels.double()[None] + 1e-9)[1]) > 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_coarser_than_the_lattice(dtype):
    """Its numbers nearest to points are not these points, and are moved by what lies between."""
    pixels = torch.arange(256, dtype=torch.float64)[None] / 255
    halves = pixels.to(dtype)
    numbers, moved = Lattice(4080).round(halves)
    points = numbers.double() / 4080
    torch.testing.assert_close(moved, (points - halves.double()).norm(dim=1), rtol=1e-12, atol=0)
    assert float(moved) > 1e-4
    assert not torch.equal(points, pixels)  # some land on another point than the image's own


def test_streams_of_the_ball_use_all_of_a_name():
    """The CPU's own generator takes 32 bits of a seed: these two names agree in those."""
    one, other = (generator(0, "certify", *name).initial_seed() for name in COLLIDING)
    assert one % 2**32 == other % 2**32
    noise, zero = BallNoise(0.25), torch.zeros(5, dtype=torch.int32)
    first, second = (noise.around(zero, 4, Stream(0, name, CPU)) for name in COLLIDING)
    assert not torch.equal(first, second)


def test_rounding_is_to_the_nearest_and_halves_go_up():
    lattice = Lattice(4)
    x = torch.tensor([[0.1, 0.125, -0.125, 0.375, -0.13]], dtype=torch.float64)
    numbers, moved = lattice.round(x)
    assert numbers.tolist() == [[0, 1, 0, 2, -1]]
    way = torch.tensor([0.1, 0.125, 0.125, 0.125, 0.12], dtype=torch.float64).norm()
    torch.testing.assert_close(moved, way[None])


@pytest.mark.parametrize("kind", NOISES)
def test_epsilon_grows_with_the_dimension_and_stays_small(kind):
    noise = kind(0.25)
    assert 0 < noise.epsilon(3072) < 1e-6
    assert noise.epsilon(6144) == pytest.approx(2 * noise.epsilon(3072))


@pytest.mark.parametrize("sigma", [1e-9, 9.0])
def test_noise_that_has_no_lattice_is_refused(sigma):
    with pytest.raises(ConfigurationError, match=r"sigma from .* to 8"):
        lattice_for(sigma)


def test_inputs_that_float32_cannot_hold_on_the_lattice_are_refused():
    with pytest.raises(ConfigurationError, match="give pixels"):
        Lattice(4080).round(torch.tensor([[5000.0]]))
