"""Of some units, those whose boundaries are closest to an input."""

from typing import NamedTuple

import torch

from bandlimiter.errors import ConfigurationError
from bandlimiter.sampling.boundary.units import Units, distances_of


class NearestBoundaries(NamedTuple):
    """The boundaries that `BoundaryDirections` found around N inputs, the closest first.

    Attributes
    ----------
    directions
        [N, K, ...] unit vectors towards them, in the network's input space.
    distances
        [N, K] float64, along these, in the network's input space.
    units
        [N, K] int64: whose they are, numbered through the layers in order of evaluation.
    """

    directions: torch.Tensor
    distances: torch.Tensor
    units: torch.Tensor


def nearest_of(
    units: Units, x: torch.Tensor, chosen: torch.Tensor, directions: int, scale: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return directions, distances and units for one input x [1, ...]."""
    if not len(chosen):
        raise _too_few(directions, 0, 0)
    gaps, gradients = units.gaps_and_gradients(x, chosen)
    gradients *= scale
    lengths = torch.linalg.vector_norm(gradients.flatten(1), dim=1, dtype=torch.float64)
    distances = distances_of(gaps, lengths)
    order = ascending(distances)[:directions]
    bending = int(torch.isfinite(distances).sum())
    if bending < directions:
        raise _too_few(directions, bending, len(chosen))
    # A number on its threshold belongs to the piece below, and so bends on the way up.
    signed_lengths = torch.where(gaps > 0, -lengths, lengths)[order]
    towards = gradients[order].double() / signed_lengths.view(-1, *[1] * (x.ndim - 1))
    return towards.to(x.dtype), distances[order], chosen[order.cpu()].to(x.device)


def ascending(values: torch.Tensor) -> torch.Tensor:
    """Return the order of values, ties by number: [U] int64."""
    return values.sort(stable=True).indices


def _too_few(directions: int, bending: int, tried: int) -> ConfigurationError:
    return ConfigurationError(
        f"expected at least {directions} units with a boundary, one a direction, got {bending} of "
        f"{tried} tried; lower directions, raise candidates or take units='all'"
    )
