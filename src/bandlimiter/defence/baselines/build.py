"""Baselines by name, each made to fit a given average: same model, length of offsets and budget."""

import math
from collections.abc import Callable

from torch import nn

from bandlimiter.defence.baselines.one_neighbour import OneNeighbour
from bandlimiter.defence.baselines.squeezing import BitDepth, Jpeg
from bandlimiter.defence.post_average import PostAverage
from bandlimiter.errors import ConfigurationError


def _one_neighbour(defence: PostAverage) -> OneNeighbour:
    return OneNeighbour(defence.model, defence.radius, scale=defence.scale, seed=defence.seed)


def _cloud(sampler: str) -> Callable[[PostAverage], PostAverage]:
    """Return what makes the average over another law: same length of offsets, K, vote, seed."""

    def build(defence: PostAverage) -> PostAverage:
        if defence.sigma is not None:
            return defence.variant(sampler=sampler)
        return PostAverage(
            defence.model,
            typical_length(defence),
            directions=defence.directions,
            sampler=sampler,
            vote=defence.vote,
            scale=defence.scale,
            seed=defence.seed,
            randomness=defence.randomness,
        )

    return build


def typical_length(defence: PostAverage) -> float:
    """Return the root-mean-square length of an average's offsets, its centre among them.

    In the network's input space. Of the paper's directions with K = 15 it is 0.716 r.

    Examples
    --------
    >>> import torch
    >>> round(typical_length(PostAverage(torch.nn.Linear(4, 3), radius=6, scale=1.0)), 3)
    4.297
    """
    steps, points = defence.sampler.steps, defence.evaluations
    vectors = (points - defence.sampler.centre) // len(steps)
    return defence.radius * math.sqrt(vectors * sum(step**2 for step in steps) / points)


BASELINES: dict[str, Callable[[PostAverage], nn.Module]] = {
    "one-neighbour": _one_neighbour,
    "gaussian": _cloud("gaussian"),
    "ball": _cloud("ball"),
    "bit-depth": lambda defence: BitDepth(defence.model),
    "jpeg": lambda defence: Jpeg(defence.model),
}
"""Each has ``evaluations``, the forwards that an answer costs. `typical_length` is the
root-mean-square length of ``gaussian``, and the radius of ``ball``, whose offsets in many
dimensions are hardly shorter."""


def build_baseline(name: str, defence: PostAverage) -> nn.Module:
    """Return the baseline called ``name`` of a defended model, around the same model.

    Parameters
    ----------
    name
        Of `BASELINES`.
    defence
        Gives model, radius, scale, seed, and for averages K, vote and randomness.

    Raises
    ------
    ConfigurationError
        (a ValueError) for an unknown name; the message lists those there are.

    Examples
    --------
    >>> import torch
    >>> defence = PostAverage(torch.nn.Linear(4, 3), radius=0.6, scale=1.0)
    >>> {name: build_baseline(name, defence).evaluations for name in BASELINES}
    {'one-neighbour': 1, 'gaussian': 91, 'ball': 91, 'bit-depth': 1, 'jpeg': 1}
    """
    if name not in BASELINES:
        raise ConfigurationError(f"expected a baseline of {', '.join(BASELINES)}; got {name!r}")
    return BASELINES[name](defence)
