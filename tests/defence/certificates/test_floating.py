"""Certificates in floating point: one that is false, and the identity that ours rest on."""

import itertools
from fractions import Fraction
from math import floor

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bandlimiter import PostAverage, certify
from bandlimiter.defence.certificates import BallNoise, GaussianNoise, Lattice
from bandlimiter.defence.certificates.noise import Stream

HALF = Fraction(1, 2)


def nearest(y, step):
    """Q of the module `noise`, in exact arithmetic."""
    return step * floor(y / step + HALF)


def nearest_even(y, step):
    return step * round(y / step)  # of a Fraction: halves to even


@pytest.mark.parametrize("step", [Fraction(1), Fraction(1, 3), Fraction(1, 255), Fraction(3, 7)])
def test_the_identity_on_all_of_small_lattices(step):
    """All x of 17 points, all noise of 129, eighths of a step, so that all ties are among it."""
    broken = 0
    for a, b in itertools.product(range(-8, 9), range(-64, 65)):
        x, noise = a * step, b * step / 8
        assert x + nearest(noise, step) == nearest(x + noise, step)
        broken += x + nearest_even(noise, step) != nearest_even(x + noise, step)
    assert broken == 8 * 16  # odd x, at all ties


@given(
    st.integers(1, 10**6), st.integers(-(10**9), 10**9), st.fractions(-1000, 1000),
)  # fmt: skip
def test_the_identity_on_any_lattice(steps, a, noise):
    step = Fraction(1, steps)
    assert a * step + nearest(noise, step) == nearest(a * step + noise, step)


@given(st.integers(0, 12), st.lists(st.integers(-(2**20), 2**20), min_size=1, max_size=8))
def test_lattices_round_as_the_identity_asks(digits, eighths):
    """Powers of two, where float64 is exact: against fractions, ties included."""
    lattice = Lattice(2**digits)
    y = torch.tensor([eighths], dtype=torch.float64) / (8 * lattice.steps)
    exact = [floor(Fraction(each, 8) + HALF) for each in eighths]
    assert lattice.round(y)[0].tolist() == [exact]
    assert lattice.round(y + 5 / lattice.steps)[0].tolist() == [[each + 5 for each in exact]]


@pytest.mark.parametrize("kind", [GaussianNoise, BallNoise])
@pytest.mark.parametrize("sigma", [0.003, 0.25])
def test_what_is_drawn_does_not_depend_on_where(kind, sigma):
    """x + Q(N): the same integers around all points, also as float32 shows them."""
    noise, stream = kind(sigma), Stream(1, ("a",), torch.device("cpu"))
    places = torch.tensor([0, 1, 255, -70_001, 1_000_000, 3], dtype=torch.int32)
    steps = noise.lattice.steps
    here = torch.round(noise.around(torch.zeros_like(places), 50, stream).double() * steps)
    there = torch.round(noise.around(places, 50, stream).double() * steps)
    assert torch.equal(there - here, places.double().expand(50, -1))


def test_the_table_against_fifty_digits(tool):
    """The whole law of a coordinate, tails included, within what `epsilon` allows.

    A cell's relative error is z^2 times that of z, 2^-52, far out at z = 9.5, and some roundings
    of 2^-53: 3e-14.
    """
    for sigma in (0.001, 0.005, 0.0137):
        found = tool("floating").off(sigma)
        assert 0 < found["variation"] < GaussianNoise(sigma).epsilon(1)
        assert found["relative"] < 3e-14


def test_the_usual_procedure_certifies_a_falsehood_and_ours_does_not(tool):
    floating = tool("floating")
    model = floating.LowBits().eval()
    (label, _, radius), (other, won, _) = (
        floating.usual(model, x, 600, seed)
        for seed, x in enumerate([floating.NEAR, floating.BLACK])
    )
    assert radius > floating.DISTANCE  # so at the black image the label is promised to be the same,
    assert (label, other) == (0, 1)
    assert won > 0.95 * 600  # and hardly ever comes up there

    first, second = floating.ours(model, 1000)
    assert first["label"] == second["label"] == 1
    assert first["radius"] > floating.DISTANCE
    # What it says of the black image holds to the end of the radius: 0.5 is 8 deviations off.
    assert min(floating.votes_on_the_way(model, first["radius"], 3, 100)) > 50


def test_inputs_off_the_lattice_are_covered_too(tool):
    """Rounded first: nothing of their lowest bits is left that the network could see."""
    floating = tool("floating")
    defence = PostAverage(floating.LowBits().eval(), sigma=floating.SIGMA)
    rng = np.random.default_rng(0)
    moved = floating.BLACK + torch.from_numpy(rng.uniform(0, 1e-4, floating.BLACK.shape)).float()
    found = certify(defence, torch.cat([floating.BLACK, moved]), at=[0.1], samples=600)
    assert found.labels.tolist() == [1, 1]
    assert found.certified.all()
