"""Ball and sphere transfer functions, held against mpmath and against closed forms."""

import json
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from bandlimiter.errors import ConfigurationError, InputError
from bandlimiter.sampling import ball_transfer, sphere_transfer
from bandlimiter.sampling.bessel import debye_polynomials

# Written by tools/make_bessel_references.py: columns nu, z, value, measure of errors.
REFERENCES = np.array(
    json.loads((Path(__file__).parent / "references/bessel_ratio.json").read_text())["rows"]
)
ORDERS = sorted(set(REFERENCES[:, 0]))


def series_end(nu):
    return 2.5 * math.sqrt(2 * (nu + 1))


def worst(values, nu, chosen):
    """The largest error of ``values``, in units of its measure, and where it is."""
    _, z, expected, measure = REFERENCES[REFERENCES[:, 0] == nu].T
    chosen = chosen(z) & (measure > 0)
    if not chosen.any():
        return 0.0, "no such point"
    error = np.abs(values - expected)[chosen] / measure[chosen]
    return error.max(), f"nu = {nu}, z = {z[chosen][error.argmax()]!r}"


@pytest.mark.parametrize("nu", ORDERS)
def test_against_mpmath(nu):
    z = REFERENCES[REFERENCES[:, 0] == nu, 1]
    values = sphere_transfer(z, 1.0, int(2 * nu + 2))
    if nu >= 0.5:
        np.testing.assert_array_equal(ball_transfer(z, 1.0, int(2 * nu)), values)

    # The series' terms are up to 120 times its sum: 120 * 1.1e-16, and as much for a few roundings.
    error, where = worst(values, nu, lambda z: z <= series_end(nu))
    assert error < 5e-14, where
    # Debye: exp's argument reaches 700, whose roundings are 1e-13; the first term left out is
    # less, 3e-14 at nu = 300.
    error, where = worst(values, nu, lambda z: (z > series_end(nu)) & (z < 0.75 * nu))
    assert error < 1e-12, where
    # scipy's J_nu is off by up to 6e-12 of its envelope, near z = nu^2 / 2 for nu about 100.
    error, where = worst(values, nu, lambda z: z > series_end(nu))
    assert error < 1e-11, where


def test_the_references_reach_every_form():
    nu, z, _, measure = REFERENCES.T
    above = (z > 2.5 * np.sqrt(2 * (nu + 1))) & (measure > 0)
    large = nu >= 300
    for part in (
        above & large & (z < 0.75 * nu),
        above & large & (z >= 0.75 * nu),
        above & ~large,
        above & (z > 1e15),
        ~above & (measure > 0),
    ):
        assert part.sum() >= 20


@pytest.mark.parametrize("nu", ORDERS)
def test_what_no_double_holds_is_zero(nu):
    z, measure = REFERENCES[REFERENCES[:, 0] == nu][:, [1, 3]].T
    vanished = sphere_transfer(z[measure == 0], 1.0, int(2 * nu + 2))
    np.testing.assert_array_equal(vanished, np.zeros_like(vanished))


# Beyond 4 the closed forms below lose nothing; a few roundings of numbers of order one.
Z = np.linspace(4, 300, 1000)


def test_one_dimension():
    """An interval's average is sin z / z, and that of its two ends cos z."""
    z = np.concatenate([np.geomspace(1e-8, 4, 50), Z])
    np.testing.assert_allclose(ball_transfer(z, 1.0, 1), np.sin(z) / z, atol=1e-13, rtol=0)
    np.testing.assert_allclose(sphere_transfer(z, 1.0, 1), np.cos(z), atol=1e-13, rtol=0)


def test_three_dimensions():
    ball = 3 * (np.sin(Z) - Z * np.cos(Z)) / Z**3
    np.testing.assert_allclose(ball_transfer(Z, 1.0, 3), ball, atol=1e-13, rtol=0)
    np.testing.assert_allclose(sphere_transfer(Z, 1.0, 3), np.sin(Z) / Z, atol=1e-13, rtol=0)


@pytest.mark.parametrize("dim", [3072, 150528])
def test_close_to_a_gaussian_s(dim):
    """log T = -z^2 / (2 (n+2)) - z^4 / (4 (n+2)^2 (n+4)) - ..., the logarithm of the series."""
    z = math.sqrt(dim) * np.linspace(0.5, 3, 11)
    rest = np.log(ball_transfer(z, 1.0, dim)) + z**2 / (2 * (dim + 2))
    second = -(z**4) / (4 * (dim + 2) ** 2 * (dim + 4))
    # The third term is (4/3) z^2 / n^2 of the second: at z^2 = 9 n below 0.4 %. The two numbers
    # whose difference is taken are at most 5, with a few roundings each.
    np.testing.assert_allclose(rest, second, rtol=0.005, atol=1e-13)


@pytest.mark.parametrize("transfer", [ball_transfer, sphere_transfer])
@pytest.mark.parametrize("dim", [1, 2, 3072, 150528])
def test_nothing_is_filtered_without_a_radius_or_a_frequency(transfer, dim):
    assert (transfer([0.0, 1.0, 1e300], 0, dim) == 1).all()
    assert float(transfer(0, 6.0, dim)) == 1
    assert (transfer([1e-320, 1e-160], 1.0, dim) == 1).all()


def test_shapes_and_kinds_of_input():
    lengths = torch.linspace(0, 9, 6, dtype=torch.float64).reshape(2, 3).requires_grad_()
    values = ball_transfer(lengths, 2.0, 5)
    assert values.shape == (2, 3)
    assert values.dtype == np.float64
    for kind in (lengths.detach().numpy(), lengths.detach().numpy().tolist()):
        np.testing.assert_array_equal(values, ball_transfer(kind, 2.0, 5))
    assert ball_transfer(3, 2.0, 5) == ball_transfer([3.0], 2.0, 5)[0]
    assert ball_transfer(lengths.detach().bfloat16(), 2.0, 5).dtype == np.float64


@pytest.mark.parametrize("transfer", [ball_transfer, sphere_transfer])
def test_refusals(transfer):
    for dim in (0, -3, 2.5, 3.0, "3"):
        with pytest.raises(ConfigurationError, match="whole number of dimensions"):
            transfer(1.0, 1.0, dim)
    for radius in (-1.0, math.nan, math.inf):
        with pytest.raises(ConfigurationError, match="finite radius"):
            transfer(1.0, radius, 3)
    for frequency in (-1.0, math.nan, math.inf, [1.0, -1e-9]):
        with pytest.raises(InputError, match="lengths of frequencies"):
            transfer(frequency, 1.0, 3)


def test_debye_polynomials():
    """U_2 and U_3 as DLMF 10.41.10 and 10.41.11 print them; U_k(1) as Stirling's series."""
    _, _, second, third = debye_polynomials(4)
    assert [c * 1152 for c in second] == [0, 0, 81, 0, -462, 0, 385]
    assert [c * 414720 for c in third] == [0, 0, 0, 30375, 0, -369603, 0, 765765, 0, -425425]
    # Of 1 / Gamma (DLMF 5.11.3): 1 + 1/12n + 1/288n^2 - 139/51840n^3 with odd signs turned.
    stirling = [1, Fraction(-1, 12), Fraction(1, 288), Fraction(139, 51840)]
    assert [sum(u) for u in debye_polynomials(4)] == stirling
