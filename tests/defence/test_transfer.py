"""The filter that a defended model states is the one that it applies."""

import numpy as np
import pytest
import torch
from torch import nn

from bandlimiter import PostAverage
from bandlimiter.errors import ConfigurationError, InputError
from bandlimiter.sampling import SAMPLERS, build_sampler
from bandlimiter.tensors import Normalise

# Means of 25 numbers of order one, whose phases of at most 20 round to a few 1e-15.
TOLERANCE = {"atol": 1e-13, "rtol": 0}


class PlaneWave(nn.Module):
    """Cosine and sine of w . x: the parts of exp(i w . x)."""

    def __init__(self, frequency: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("frequency", frequency)

    def forward(self, x):
        phase = x.flatten(1) @ self.frequency
        return torch.stack([phase.cos(), phase.sin()], dim=1)


@pytest.fixture
def rows() -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return 2 * torch.randn(5, 12, generator=generator, dtype=torch.float64)


@pytest.fixture
def x() -> torch.Tensor:
    return torch.rand(4, 3, 2, 2, generator=torch.Generator().manual_seed(4), dtype=torch.float64)


def wave(outputs: torch.Tensor) -> np.ndarray:
    return (outputs[:, 0] + 1j * outputs[:, 1]).numpy()


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_plane_wave_is_multiplied_by_the_filter(sampler, rows, x):
    for w in rows:
        model = PlaneWave(w)
        defended = PostAverage(
            model, 1.7, directions=4, sampler=sampler, vote="logits", scale=1.0, seed=9
        )
        expected = defended.transfer(w[None]) * wave(model(x))
        np.testing.assert_allclose(wave(defended(x)), expected, **TOLERANCE)


def test_frequencies_are_those_of_the_normalised_space(rows, x):
    normalised = Normalise([0.4, 0.5, 0.6], [0.2, 0.25, 0.3])
    model = nn.Sequential(normalised, PlaneWave(rows[0])).double()
    defended = PostAverage(model, 1.7, directions=4, sampler="ball", vote="logits")
    expected = defended.transfer(rows[:1]) * wave(model(x))
    np.testing.assert_allclose(wave(defended(x)), expected, **TOLERANCE)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_equals_the_sampler_s(sampler, rows, x, mlp):
    defended = PostAverage(mlp, 1.7, directions=4, sampler=sampler, scale=1.0, seed=9)
    expected = build_sampler(sampler).transfer(rows, directions=4, radius=1.7, seed=9)
    np.testing.assert_array_equal(defended.transfer(rows), expected)
    defended.draw(x.shape[1:])  # the same numbers in another arrangement
    np.testing.assert_array_equal(defended.transfer(rows.numpy()), expected)


def test_the_kept_draw_is_used_and_kept(mlp, rows):
    """A loaded draw is not the seed's, and is the one that predictions use."""
    defended = PostAverage(mlp, 1.7, directions=1, scale=1.0)
    state = defended.state_dict() | {"directions": torch.eye(6)[:1]}
    defended.load_state_dict(state)
    along = np.array([[0.9] + [5.0] * 5])
    phases = 1.7 * 0.9 * np.array([0, 1, -1, 2, -2, 3, -3]) / 3
    # float32 holds the unit vector exactly.
    np.testing.assert_allclose(defended.transfer(along), [np.cos(phases).mean()], **TOLERANCE)
    defended.transfer(rows)  # for another number of coordinates: answered, not kept
    assert torch.equal(defended.drawn_directions, torch.eye(6)[:1])


def test_a_sampler_of_one_s_own_needs_no_transfer(mlp, rows):
    class Axes:
        name, steps, centre = "axes", (1.0,), True

        def vectors(self, directions, dim, rng):
            return torch.eye(6 * directions, dim, dtype=torch.float64)

    defended = PostAverage(mlp, 1.7, directions=1, sampler=Axes(), scale=1.0)
    waves = np.exp(1.7j * rows[:, :6].numpy())
    np.testing.assert_allclose(defended.transfer(rows), (1 + waves.sum(axis=1)) / 7, **TOLERANCE)


def test_refusals(mlp, rows):
    with pytest.raises(ConfigurationError, match="expected_power"):
        PostAverage(mlp, 1.7, scale=1.0, randomness="fresh").transfer(rows)
    with pytest.raises(InputError, match=r"\[F, n\]"):
        PostAverage(mlp, 1.7, scale=1.0).transfer(rows[0])
