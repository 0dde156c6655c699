"""The balls: projections stay inside and rest there, steps are the steepest, starts are fair."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bandlimiter.attacks import AttackInput
from bandlimiter.attacks.balls import BALLS, L2, LInf, ball, lengths
from bandlimiter.errors import ConfigurationError

SHAPE = (4, 2, 3, 5)
NORMS = {
    "linf": lambda change: change.abs().flatten(1).amax(dim=1),
    "l2": lambda c: lengths(c)[:, 0, 0, 0],
}
EITHER = pytest.mark.parametrize("norm", ["linf", "l2"])
# Differences of float64 pixels: a few units in the last place of 1.
ROUNDING = 1e-14


def numbers(seed, spread=1.0):
    generator = torch.Generator().manual_seed(seed)
    return spread * torch.randn(SHAPE, generator=generator, dtype=torch.float64)


def pixels(seed):
    """Images with a third of their pixels at 0 or 1, where the box cuts the ball."""
    return (0.5 + numbers(seed, 0.5)).clamp(0, 1)


@EITHER
@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 10**6),
    epsilon=st.floats(1e-4, 2),
    spread=st.sampled_from([1e-6, 1e-2, 1, 1e6]),
)
def test_projections_stay_inside_and_move_nothing_twice(norm, seed, epsilon, spread):
    images = pixels(seed)
    x = images + numbers(seed + 1, spread)
    projected = BALLS[norm].project(x, images, epsilon)
    assert float(projected.min()) >= 0
    assert float(projected.max()) <= 1
    assert bool((NORMS[norm](projected - images) <= epsilon + ROUNDING).all())
    again = BALLS[norm].project(projected, images, epsilon)
    torch.testing.assert_close(again, projected, rtol=0, atol=ROUNDING)


@EITHER
def test_points_inside_stay_where_they_are(norm):
    images = pixels(0)
    inside = (images + numbers(1, 1e-4)).clamp(0, 1)
    assert torch.equal(LInf().project(inside, images, 0.1), inside)
    torch.testing.assert_close(L2().project(inside, images, 0.1), inside, rtol=0, atol=ROUNDING)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6), epsilon=st.floats(1e-3, 0.5))
def test_the_l_inf_projection_is_the_closest_point(seed, epsilon):
    """Each pixel on its own: the closest number of an interval."""
    images, x = pixels(seed), pixels(seed) + numbers(seed + 1)
    found = LInf().project(x, images, epsilon)
    low, high = np.maximum(images.numpy() - epsilon, 0), np.minimum(images.numpy() + epsilon, 1)
    expected = np.array(
        [min(max(v, a), b) for v, a, b in zip(*map(np.ravel, (x, low, high)), strict=True)]
    )
    np.testing.assert_allclose(found.flatten(), expected, rtol=0, atol=ROUNDING)


@EITHER
@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6), size=st.sampled_from([1e-320, 1e-200, 1e-5, 1, 1e200]))
def test_the_steepest_step_has_length_one_and_beats_any_other(norm, seed, size):
    """By duality its gain is the gradient's L1 norm (L-inf) or its Euclidean norm (L2)."""
    gradient = numbers(seed)
    step = BALLS[norm].steepest(gradient * size)
    one = torch.ones(len(step), dtype=torch.float64)
    # Numbers near 1e-320 keep three digits or so.
    digits = 1e-2 if size < 1e-300 else 1e-12
    torch.testing.assert_close(NORMS[norm](step), one, rtol=1e-12, atol=0)
    dual = {"linf": gradient.abs().flatten(1).sum(dim=1), "l2": gradient.flatten(1).norm(dim=1)}
    gain = (gradient * step).flatten(1).sum(dim=1)
    torch.testing.assert_close(gain, dual[norm], rtol=digits, atol=0)
    other = numbers(seed + 1)
    other = other / NORMS[norm](other)[:, None, None, None]
    assert bool(((gradient * other).flatten(1).sum(dim=1) <= gain * (1 + digits)).all())


@EITHER
def test_a_saturated_float32_gradient_still_gives_a_whole_step(norm):
    """Squares of 1e-30 underflow; without a gradient there is no step."""
    gradient = numbers(0).float() * 1e-30
    torch.testing.assert_close(
        NORMS[norm](BALLS[norm].steepest(gradient)), torch.ones(len(gradient))
    )
    zero = torch.zeros(SHAPE)
    assert torch.equal(BALLS[norm].steepest(zero), zero)


def inputs(count, ids=None, seed=0):
    images = torch.full((count, 1, 2, 2), 0.5, dtype=torch.float64)
    names = range(count) if ids is None else ids
    return AttackInput(None, images, torch.zeros(count, dtype=torch.int64), 0.1, names, seed)


def test_starts_fill_the_cube_evenly_and_cover_the_sphere():
    cube = (LInf().start(inputs(1000), "here") - 0.5).flatten()
    # Kolmogorov-Smirnov at a fixed seed: 4,000 numbers reject a wrong law at once.
    assert stats.kstest(cube.numpy(), stats.uniform(-0.1, 0.2).cdf).pvalue > 1e-3
    sphere = L2().start(inputs(1000), "here") - 0.5
    torch.testing.assert_close(
        lengths(sphere).flatten(), torch.full((1000,), 0.1, dtype=torch.float64)
    )
    # A coordinate u of a unit vector in 4 dimensions: u^2 is Beta(1/2, 3/2).
    squares = (sphere[:, 0, 0, 0] / 0.1).square()
    assert stats.kstest(squares.numpy(), stats.beta(0.5, 1.5).cdf).pvalue > 1e-3


@EITHER
def test_a_start_depends_on_the_image_s_name_alone(norm):
    around = BALLS[norm]
    whole = around.start(inputs(3, ["a", "b", "c"]), "here")
    assert torch.equal(around.start(inputs(1, ["b"]), "here")[0], whole[1])
    for other in (
        around.start(inputs(1, ["b"]), "there"),
        around.start(inputs(1, ["b"], 1), "here"),
    ):
        assert not torch.equal(other[0], whole[1])


def test_unknown_norms_are_listed():
    with pytest.raises(ConfigurationError, match="linf, l2"):
        ball("l1")
