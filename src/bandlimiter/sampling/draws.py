"""The draw of a sampler's vectors, one for the defence that runs and the theory of it."""

import math

import torch

from bandlimiter.errors import ConfigurationError
from bandlimiter.sampling.base import Sampler
from bandlimiter.tensors import Key, generator


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
    if directions < 1:
        raise ConfigurationError(f"expected at least one direction, got {directions}")
    rng = generator(seed, "post-average", *name)
    vectors = sampler.vectors(directions, math.prod(shape), rng)
    require_cost(sampler, directions, len(vectors))
    return vectors.to(torch.float32).view(-1, *shape)


def require_cost(sampler: Sampler, directions: int, vectors: int) -> None:
    """Refuse a number of vectors that does not make 6K + 1 evaluations."""
    points = vectors * len(sampler.steps) + sampler.centre
    if points != 6 * directions + 1:
        raise ConfigurationError(
            f"expected {6 * directions + 1} points from {directions} directions of the sampler "
            f"{sampler.name}, got {points} from {vectors} vectors"
        )
