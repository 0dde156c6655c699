"""How many regions there can be: exact integers."""

import math
from collections.abc import Sequence
from operator import index

from bandlimiter.errors import ConfigurationError


def max_regions(
    units: int | Sequence[int], dim: int, *, central: bool = False, residual: bool = False
) -> int:
    """Return the largest number of regions that ReLU layers can cut R^n into.

    Parameters
    ----------
    units
        N, the hyperplanes of one hidden layer; or the widths of a deep network's layers.
        Where an activation has two thresholds, each unit counts twice.
    dim
        n >= 1, the number of inputs.
    central
        All hyperplanes pass through the origin (one layer without biases).
    residual
        Layers also see what lies before the layer below, so that a narrow layer does not
        narrow what follows.

    Returns
    -------
    int
        Exact. One layer: ``sum_{i <= n} C(N, i)``, attained in general position (Zaslavsky
        1975; paper, section 2.2). Central: ``2 sum_{i < n} C(N - 1, i)``. Deep: the product
        over layers of ``sum_{i <= d} C(N_l, i)``, where d is the least of n and the widths
        before, or n in a residual network (Montufar, "Notes on the number of linear regions
        of deep neural networks", 2017): an upper bound. The paper states the one-layer
        formula for whole networks, which deep ones exceed.

    Raises
    ------
    ConfigurationError
        (a ValueError) for a negative number of units or n < 1, or for a deep central one.

    Examples
    --------
    >>> max_regions(3, dim=2), max_regions(3, dim=2, central=True), max_regions([2, 2], dim=1)
    (7, 6, 9)
    """
    widths = [index(units)] if not isinstance(units, Sequence) else [index(one) for one in units]
    if index(dim) < 1 or any(width < 0 for width in widths):
        raise ConfigurationError(
            f"expected units >= 0 and at least one dimension, got {units} and {dim}"
        )
    if central:
        if len(widths) != 1:
            raise ConfigurationError(
                f"expected one layer of central hyperplanes, got {len(widths)} layers"
            )
        return 2 * _partial_sum(widths[0] - 1, dim - 1) if widths[0] else 1
    regions, rank = 1, dim
    for width in widths:
        regions *= _partial_sum(width, rank)
        rank = rank if residual else min(rank, width)
    return regions


def _partial_sum(top: int, last: int) -> int:
    return sum(math.comb(top, i) for i in range(last + 1))
