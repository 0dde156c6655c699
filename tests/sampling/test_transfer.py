"""A sampler's filter: that of one draw, and its mean and power over draws."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, linalg, stats

from bandlimiter.errors import ConfigurationError, InputError
from bandlimiter.sampling import (
    SAMPLERS,
    build_sampler,
    draw_vectors,
    sphere_transfer,
    transfer,
    transfer_of,
)

DIM = 10
# One coordinate of a uniform unit vector of R^n, of a uniform point of its ball (that of a
# unit vector two dimensions up), and of the Gaussian of mean square length one.
ONE_COORDINATE = {
    "directions": stats.beta((DIM - 1) / 2, (DIM - 1) / 2, loc=-1, scale=2),
    "orthogonal": stats.beta((DIM - 1) / 2, (DIM - 1) / 2, loc=-1, scale=2),
    "sphere": stats.beta((DIM - 1) / 2, (DIM - 1) / 2, loc=-1, scale=2),
    "ball": stats.beta((DIM + 1) / 2, (DIM + 1) / 2, loc=-1, scale=2),
    "gaussian": stats.norm(scale=1 / math.sqrt(DIM)),
}


def frequencies(lengths, dim: int = DIM) -> np.ndarray:
    """Row vectors of the given lengths, each in a direction of its own."""
    rows = np.random.default_rng(7).normal(size=(len(lengths), dim))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True) * np.asarray(lengths)[:, None]


def contribution(name: str, s: float):
    """The real part of what one vector with coordinate u along w adds, written out."""
    if name in ("directions", "orthogonal"):
        return lambda u: 2 * sum(math.cos(j * s * u / 3) for j in (1, 2, 3))
    return lambda u: math.cos(s * u)


def mean_over(name: str, function) -> float:
    law = ONE_COORDINATE[name]
    low, high = law.support() if name != "gaussian" else (-4, 4)  # sqrt(10) * 4 deviations
    return integrate.quad(lambda u: function(u) * law.pdf(u), low, high, epsabs=1e-12, limit=500)[0]


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("s", [0.3, 2.0, 7.0, 20.0])
def test_the_mean_over_draws_by_quadrature(name, s):
    k, radius = 4, 2.5
    one = mean_over(name, contribution(name, s))
    directions = name in ("directions", "orthogonal")
    expected = (1 + k * one) / (6 * k + 1) if directions else one
    mean = build_sampler(name).expected_transfer(s / radius, DIM, directions=k, radius=radius)
    # quad's own error is below 1e-12, the transfer functions' below 1e-11.
    assert mean == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("s", [0.3, 2.0, 7.0])
def test_the_power_over_draws_by_quadrature(name, s):
    k = 4
    g = contribution(name, s)
    one = mean_over(name, g)
    if name in ("directions", "orthogonal"):
        square, two = mean_over(name, lambda u: g(u) ** 2), one**2
        if name == "orthogonal":
            two = mean_over_two_coordinates(lambda u, v: g(u) * g(v))
        expected = (1 + 2 * k * one + k * square + k * (k - 1) * two) / (6 * k + 1) ** 2
    else:
        expected = (1 + 6 * k * one**2) / (6 * k + 1)
    power = build_sampler(name).expected_power(s, DIM, directions=k)
    assert power == pytest.approx(expected, abs=1e-10)  # as above


def mean_over_two_coordinates(function) -> float:
    """Over two coordinates of a uniform unit vector, whose density is ~ (1 - u^2 - v^2)^(n/2 - 2).

    Two orthonormal vectors' coordinates along w follow the same law.
    """

    def at(angle, length):
        density = (DIM - 2) / (2 * math.pi) * (1 - length**2) ** (DIM / 2 - 2)
        return function(length * math.cos(angle), length * math.sin(angle)) * density * length

    return integrate.dblquad(at, 0, 1, 0, 2 * math.pi, epsabs=1e-11)[0]


def draws(name, rows, k, count):
    """The filters of ``count`` draws: [count, F] complex."""
    sampler = build_sampler(name)
    return np.stack(
        [sampler.transfer(rows, directions=k, radius=2.0, seed=seed) for seed in range(count)]
    )


def agrees(sample: np.ndarray, expected) -> None:
    """Within five standard errors: of the few dozen means here none goes there by chance."""
    error = sample.std(axis=0) / math.sqrt(len(sample))
    assert (np.abs(sample.mean(axis=0) - expected) <= 5 * error + 1e-12).all()


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize(
    ("dim", "k", "lengths"),
    [(DIM, 3, (0.3, 1.0, 2.0, 4.0, 10.0, 100.0)), (3072, 2, (5.0, 30.0, 60.0, 1000.0))],
)
def test_mean_and_power_of_two_thousand_draws(name, dim, k, lengths):
    sampler, given = build_sampler(name), {"directions": k, "radius": 2.0}
    found = draws(name, frequencies(lengths, dim), k, 2000)
    agrees(found.real, sampler.expected_transfer(lengths, dim, **given))
    agrees(found.imag, 0)
    agrees(np.abs(found) ** 2, sampler.expected_power(lengths, dim, **given))


@pytest.mark.slow
@pytest.mark.parametrize("dim", [DIM, 3072])
def test_the_paper_s_fifteen_directions_over_two_thousand_draws(dim):
    lengths = (5.0, 30.0, 60.0, 1000.0)
    law, given = build_sampler("directions"), {"directions": 15, "radius": 2.0}
    found = draws("directions", frequencies(lengths, dim), 15, 2000)
    agrees(found.real, law.expected_transfer(lengths, dim, **given))
    agrees(np.abs(found) ** 2, law.expected_power(lengths, dim, **given))


@pytest.mark.parametrize("name", SAMPLERS)
def test_high_frequencies_are_scaled_down_and_not_away(name):
    """The root mean square stays at 1 / sqrt(6K + 1), 0.105 for the paper's 15 directions."""
    found = draws(name, frequencies([1e4] * 8), 10, 50)
    agrees(np.abs(found.reshape(-1, 1)) ** 2, 1 / 61)
    power = build_sampler(name).expected_power([1e4, 1e9], 3072)
    # What oscillates is below 1e-20 there.
    np.testing.assert_allclose(np.sqrt(power), 1 / math.sqrt(91), rtol=1e-12)


@pytest.mark.parametrize("name", SAMPLERS)
def test_no_filter_at_frequency_zero(name):
    sampler = build_sampler(name)
    np.testing.assert_array_equal(sampler.transfer(np.zeros((2, DIM)), directions=4), [1, 1])
    for expected in (sampler.expected_transfer, sampler.expected_power):
        assert expected(0.0, DIM, directions=4) == pytest.approx(1, abs=1e-14)
        np.testing.assert_allclose(expected([1.0, 9.0], DIM, directions=4, radius=0), 1, atol=1e-14)


@pytest.mark.parametrize("name", ["directions", "orthogonal"])
def test_a_frequency_at_right_angles_to_all_directions_passes(name):
    sampler = build_sampler(name)
    vectors = draw_vectors(sampler, 3, torch.Size([DIM]), 5)
    untouched = 50 * linalg.null_space(vectors.double().numpy()).T
    assert len(untouched) == DIM - 3
    found = sampler.transfer(untouched, directions=3, radius=10, seed=5)
    # Phases of 500 |cos| with a cosine that is zero to 1e-16; the cosine of that is one.
    np.testing.assert_allclose(found, 1, atol=1e-12, rtol=0)
    # While on average a frequency of this length is nearly lost.
    assert sampler.expected_power(50.0, DIM, directions=3, radius=10) < 0.1


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_mean_of_exponentials_written_out(name):
    sampler = build_sampler(name)
    vectors = draw_vectors(sampler, 2, torch.Size([DIM]), 0).double().numpy()
    offsets = [2.0 * step * v for v in vectors for step in sampler.steps]
    offsets = np.array(offsets + [np.zeros(DIM)] * sampler.centre)
    rows = frequencies([0.5, 3.0, 8.0])
    found = sampler.transfer(rows, directions=2, radius=2.0)
    # Sums of 13 numbers of order one.
    np.testing.assert_allclose(found, np.exp(1j * rows @ offsets.T).mean(axis=1), atol=1e-14)
    symmetric = name in ("directions", "orthogonal")
    assert (found.imag == 0).all() == symmetric


def test_blocks_change_nothing(monkeypatch):
    sampler, rows = build_sampler("ball"), frequencies([1.0] * 23)
    whole = sampler.transfer(rows, directions=2)
    monkeypatch.setattr(transfer, "_BLOCK", 5 * 13)
    # A product of another shape may sum in another order.
    np.testing.assert_allclose(sampler.transfer(rows, directions=2), whole, atol=1e-14)
    np.testing.assert_allclose(
        sampler.transfer(torch.tensor(rows), directions=2), whole, atol=1e-14
    )


def test_uneven_steps():
    """Steps without their opposites give a complex filter: here that of a mere shift."""
    vectors, rows = torch.eye(2), [[0.3, 0.0], [4.0, 0.0]]
    shifted = transfer_of(vectors[:1], (1.0,), False, 2.0, rows)
    np.testing.assert_allclose(shifted, np.exp([0.6j, 8j]), atol=1e-15)


def test_the_design_s_formula_for_directions():
    """E T and Var T of eq. 8's directions as sums of sphere transfer functions."""
    k, dim, s = 15, 30, np.linspace(0, 40, 50)
    one, two, three, four, five, six = (sphere_transfer(j * s / 3, 1.0, dim) for j in range(1, 7))
    mean = (1 + 2 * k * (one + two + three)) / 91
    e = (3 + 4 * one + 3 * two + 2 * three + 3 * four + 2 * five + six) / 2
    variance = 4 * k * (e - (one + two + three) ** 2) / 91**2
    sampler = build_sampler("directions")
    np.testing.assert_allclose(sampler.expected_transfer(s, dim), mean, atol=1e-13)
    np.testing.assert_allclose(sampler.expected_power(s, dim), variance + mean**2, atol=1e-13)


def test_refusals():
    sampler = build_sampler("directions")
    with pytest.raises(ConfigurationError, match="at least one direction"):
        sampler.expected_transfer(1.0, DIM, directions=0)
    with pytest.raises(ConfigurationError, match="at most 3 orthogonal"):
        build_sampler("orthogonal").expected_power(1.0, 3, directions=4)
    with pytest.raises(ConfigurationError, match="finite radius"):
        sampler.transfer(np.ones((1, DIM)), radius=-1.0)
    with pytest.raises(ConfigurationError, match="whole number of dimensions"):
        sampler.expected_transfer(1.0, 0)
    for rows in (np.ones(DIM), np.ones((2, 0)), torch.ones(1, 2, 3)):
        with pytest.raises(InputError, match=r"frequencies \[F, n\]"):
            sampler.transfer(rows)
    with pytest.raises(InputError, match=r"\[F, 2\]"):
        transfer_of(torch.eye(2), (1.0,), False, 1.0, np.ones((1, 3)))
    with pytest.raises(InputError, match="NaN"):
        sampler.transfer([[math.nan, 1.0]])
