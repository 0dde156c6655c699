"""The planar sets lie where they say, look as they are called, and come from their seed."""

import sys

import numpy as np
import pytest
import torch

from bandlimiter.data import PLANAR_SETS, load_planar
from bandlimiter.errors import ConfigurationError, MissingExtraError

CLASSES = {"moons": 2, "circles": 2, "blobs": 3}


@pytest.fixture
def sklearn():
    return pytest.importorskip("sklearn.datasets")


@pytest.mark.parametrize("noise", [None, 0.0, 0.7])
@pytest.mark.parametrize("points", [2, 3, 101, 400])
@pytest.mark.parametrize("name", PLANAR_SETS)
def test_points_fill_the_square_and_labels_are_balanced(sklearn, name, points, noise):
    drawn = load_planar(name, points=points, noise=noise)
    assert drawn.name == name
    assert (drawn.points.shape, drawn.points.dtype) == ((points, 2), np.float64)
    assert (drawn.labels.shape, drawn.labels.dtype) == ((points,), np.int64)
    low, high = drawn.points.min(axis=0), drawn.points.max(axis=0)
    assert low.min() >= -1
    assert high.max() <= 1
    np.testing.assert_allclose((high - low).max(), 2, atol=1e-12)
    np.testing.assert_allclose(low + high, 0, atol=1e-12)
    counts = np.bincount(drawn.labels, minlength=CLASSES[name])
    assert len(counts) == CLASSES[name]
    assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize("name", PLANAR_SETS)
def test_a_seed_gives_its_numbers_and_leaves_the_global_ones_alone(sklearn, name):
    states = np.random.get_state()[1].copy(), torch.random.get_rng_state()
    first, again, other = (load_planar(name, points=50, seed=seed) for seed in (7, 7, 8))
    assert np.array_equal(first.points, again.points)
    assert np.array_equal(first.labels, again.labels)
    assert not np.array_equal(first.points, other.points)
    assert np.array_equal(states[0], np.random.get_state()[1])
    assert torch.equal(states[1], torch.random.get_rng_state())


def test_the_transformation_is_the_one_stated(sklearn):
    ours = load_planar("moons", points=60, noise=0.2, seed=3)
    theirs, labels = sklearn.make_moons(60, noise=0.2, random_state=3)
    low, high = theirs.min(axis=0), theirs.max(axis=0)
    back = ours.points * (high - low).max() / 2 + (low + high) / 2
    np.testing.assert_allclose(back, theirs, atol=1e-14)
    assert np.array_equal(ours.labels, labels)


def test_circles_stay_round(sklearn):
    drawn = load_planar("circles", points=400, noise=0.0)
    radius = np.hypot(*drawn.points.T)
    np.testing.assert_allclose(radius, np.where(drawn.labels == 0, 1, 0.5), atol=1e-3)


def test_blobs_without_noise_are_a_triangle(sklearn):
    drawn = load_planar("blobs", points=30, noise=0.0)
    corners = np.stack([drawn.points[drawn.labels == label] for label in range(3)])
    assert np.ptp(corners, axis=1).max() == 0
    sides = np.linalg.norm(corners[:, 0] - np.roll(corners[:, 0], 1, axis=0), axis=1)
    np.testing.assert_allclose(sides, 2, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "wrong", "said"),
    [
        ("spiral", {}, "moons, circles, blobs; got 'spiral'"),
        ("moons", {"points": 1}, "at least 2 points, got 1"),
        ("moons", {"noise": -0.1}, "noise .* got -0.1"),
        ("moons", {"noise": float("nan")}, "noise .* got nan"),
        ("moons", {"noise": float("inf")}, "noise .* got inf"),
        ("moons", {"seed": -1}, "seed from 0 to 4294967295, got -1"),
        ("moons", {"seed": 2**32}, "seed from 0"),
    ],
)
def test_refusals(name, wrong, said):
    with pytest.raises(ConfigurationError, match=said) as caught:
        load_planar(name, **wrong)
    assert "\n" not in str(caught.value)


def test_without_scikit_learn_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'bandlimiter\[spectrum\]'"):
        load_planar("moons")
