"""The protocol of samplers: vectors at unit radius, and the steps taken along each."""

from typing import Protocol, runtime_checkable

import torch


@runtime_checkable
class Sampler(Protocol):
    """A law of offsets around an input, stated at radius one.

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


def unit_vectors(count: int, dim: int, rng: torch.Generator) -> torch.Tensor:
    """Draw ``count`` isotropic unit vectors: [count, dim] float64, normal then normalised."""
    normal = torch.randn(count, dim, generator=rng, dtype=torch.float64)
    unit: torch.Tensor = normal / torch.linalg.vector_norm(normal, dim=1, keepdim=True)
    return unit
