"""The protocols of samplers: vectors at unit radius, and the steps taken along each."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch


class AnySampler(Protocol):
    """What every sampler states of its offsets around an input.

    The neighbourhood of radius r is the set of r * step * vector over all vectors and all
    ``steps``. The radius stays outside, so that sweeping over it reuses one draw.

    Attributes
    ----------
    name
        What the command and the rows call it.
    steps
        Multiples of the radius at which each vector is used.
    centre
        Whether the input itself is one of the evaluated points.
    """

    @property
    def name(self) -> str: ...  # noqa: D102  (described above)
    @property
    def steps(self) -> tuple[float, ...]: ...  # noqa: D102
    @property
    def centre(self) -> bool: ...  # noqa: D102


@runtime_checkable
class Sampler(AnySampler, Protocol):
    """A law of offsets, stated at radius one and the same around every input."""

    def vectors(self, directions: int, dim: int, rng: torch.Generator) -> torch.Tensor:
        """Draw the vectors for the budget of ``directions`` directions.

        Every sampler spends what K directions of the paper spend: 6K + 1 evaluations,
        so that samplers compare at equal cost.

        Parameters
        ----------
        directions
            K, at least one.
        dim
            Number of input coordinates, n.
        rng
            A CPU generator.

        Returns
        -------
        torch.Tensor
            [M, n] float64 on the CPU; M * len(steps) + centre = 6K + 1.

        Raises
        ------
        ConfigurationError
            Where the law cannot be met (more orthogonal directions than dimensions).
        """
        ...


@runtime_checkable
class InputSampler(AnySampler, Protocol):
    """A choice of offsets that looks at each input: it has no law, and no filter, of its own."""

    def vectors_at(
        self,
        x: torch.Tensor,
        directions: int,
        scale: float | torch.Tensor,
        rngs: Sequence[torch.Generator],
    ) -> torch.Tensor:
        """Choose the vectors around each input, at the same cost as `Sampler.vectors`.

        Parameters
        ----------
        x
            [N, ...] pixels.
        directions
            K, at least one.
        scale
            Turns an offset in the network's input space, where vectors are stated, into
            pixels: a number, or a tensor that broadcasts against x.
        rngs
            A CPU generator for each input; what an input gets depends on it and on its own.

        Returns
        -------
        torch.Tensor
            [N, M, ...] on x's device, float32 at least and without a gradient;
            M * len(steps) + centre = 6K + 1.

        Raises
        ------
        ConfigurationError
            Where there are no such vectors.
        """
        ...


def unit_vectors(count: int, dim: int, rng: torch.Generator) -> torch.Tensor:
    """Draw ``count`` isotropic unit vectors: [count, dim] float64, normal then normalised."""
    normal = torch.randn(count, dim, generator=rng, dtype=torch.float64)
    unit: torch.Tensor = normal / torch.linalg.vector_norm(normal, dim=1, keepdim=True)
    return unit
