"""The order in which the points of a neighbourhood are evaluated."""

from collections.abc import Sequence

import torch

from bandlimiter.tensors import Key, generator


def draw_orders(points: int, seed: int, names: Sequence[tuple[Key, ...]]) -> torch.Tensor:
    """Draw a uniformly random order of the points for each name.

    On this draw rests the guarantee of stopping "anytime": it must not depend on the input.

    Parameters
    ----------
    points
        N, the number of points.
    seed, names
        Name the draws; the same names give the same orders on every machine.

    Returns
    -------
    torch.Tensor
        [len(names), N] int64 on the CPU, a permutation of 0 ... N - 1 in each row.

    Examples
    --------
    >>> draw_orders(4, seed=0, names=[("input", 1)]).sort().values
    tensor([[0, 1, 2, 3]])
    """
    rows = [torch.randperm(points, generator=generator(seed, "order", *name)) for name in names]
    return torch.stack(rows)
