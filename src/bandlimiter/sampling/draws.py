"""The draw of a sampler's vectors, one for the defence that runs and the theory of it."""

import math
from collections.abc import Sequence

import torch

from bandlimiter.errors import ConfigurationError
from bandlimiter.sampling.base import AnySampler, InputSampler, Sampler
from bandlimiter.tensors import Key, generator

_PURPOSE = "post-average"
"""The first name of every stream that draws offsets."""


def draw_vectors(
    sampler: Sampler, directions: int, shape: torch.Size, seed: int, *name: Key
) -> torch.Tensor:
    """Draw a sampler's unit-radius vectors for inputs of ``shape``: [M, *shape] float32.

    Rounded to float32 once, so that every dtype and device works with the same numbers.
    The numbers depend on the number of coordinates, not on their arrangement.

    Parameters
    ----------
    sampler
        The law.
    directions
        K: the budget of 6K + 1 evaluations.
    shape
        One input's.
    seed, *name
        Name the draw: the same names give the same numbers on every machine.

    Raises
    ------
    ConfigurationError
        (a ValueError) for K below 1, or a sampler that does not keep to 6K + 1 evaluations.
    """
    _require_directions(directions)
    rng = generator(seed, _PURPOSE, *name)
    vectors = sampler.vectors(directions, math.prod(shape), rng)
    require_cost(sampler, directions, len(vectors))
    return vectors.to(torch.float32).view(-1, *shape)


def draw_vectors_at(
    sampler: InputSampler,
    directions: int,
    x: torch.Tensor,
    scale: float | torch.Tensor,
    seed: int,
    names: Sequence[tuple[Key, ...]],
) -> torch.Tensor:
    """Let a sampler that looks at inputs choose its vectors: [N, M, *shape], float32 at least.

    Parameters
    ----------
    sampler
        Chooses.
    directions
        K: the budget of 6K + 1 evaluations.
    x
        [N, *shape] pixels.
    scale
        See `InputSampler.vectors_at`.
    seed, names
        Name the draw of each input; inputs of one name share what is random.

    Raises
    ------
    ConfigurationError
        As `draw_vectors`, and where the sampler finds no such vectors.
    """
    _require_directions(directions)
    rngs = [generator(seed, _PURPOSE, *name) for name in names]
    vectors = sampler.vectors_at(x, directions, scale, rngs)
    require_cost(sampler, directions, vectors.shape[1])
    return vectors


def require_cost(sampler: AnySampler, directions: int, vectors: int) -> None:
    """Refuse a number of vectors that does not make 6K + 1 evaluations."""
    points = vectors * len(sampler.steps) + sampler.centre
    if points != 6 * directions + 1:
        raise ConfigurationError(
            f"expected {6 * directions + 1} points from {directions} directions of the sampler "
            f"{sampler.name}, got {points} from {vectors} vectors"
        )


def _require_directions(directions: int) -> None:
    if directions < 1:
        raise ConfigurationError(f"expected at least one direction, got {directions}")
