"""Maximal regions: touching activation regions whose affine maps are equal, joined."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from bandlimiter.geometry.regions import Regions


@dataclass(frozen=True)
class MaximalRegions:
    """Connected sets of regions on which the network is one affine map.

    Attributes
    ----------
    members
        [R]: the maximal region that each activation region belongs to, from 0 on.
    volumes
        [count].
    """

    members: NDArray[np.int64]
    volumes: NDArray[np.float64]

    def __len__(self) -> int:
        """Return the number of maximal regions."""
        return len(self.volumes)


def maximal_regions(regions: Regions) -> MaximalRegions:
    """Join regions that share a facet across which the affine map does not change.

    Dead units, units whose outgoing weights are zero, and equal units of opposite weights
    divide space without bending the function. Maximal regions need not be convex. Maps of
    neighbours are equal that differ by no more than rounding (`Regions.map_changes`), and
    equality is passed on from neighbour to neighbour.

    Examples
    --------
    >>> import torch
    >>> from bandlimiter.geometry import enumerate_regions
    >>> network = torch.nn.Sequential(
    ...     torch.nn.Linear(1, 2), torch.nn.ReLU(), torch.nn.Linear(2, 1)
    ... )
    >>> with torch.no_grad():
    ...     _ = network[0].weight.copy_(torch.tensor([[1.0], [1.0]]))
    ...     _ = network[0].bias.copy_(torch.tensor([0.5, -0.5]))
    ...     _ = network[2].weight.copy_(torch.tensor([[1.0, 0.0]]))  # the second unit is unused
    >>> regions = enumerate_regions(network, -1, 1)
    >>> len(regions), len(maximal_regions(regions))
    (3, 2)
    """
    left, right = regions.adjacency.T
    equal = ~regions.map_changes.any(axis=(1, 2))
    links = coo_array(
        (np.ones(equal.sum()), (left[equal], right[equal])), shape=(len(regions), len(regions))
    )
    count, members = connected_components(links, directed=False)
    volumes = np.zeros(count)
    np.add.at(volumes, members, regions.volumes)
    return MaximalRegions(members.astype(np.int64), volumes)
