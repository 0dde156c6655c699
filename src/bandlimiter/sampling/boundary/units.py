"""The units of a network around one input: where they bend, and their gradients."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate

import torch

from bandlimiter.geometry.activation import Activation
from bandlimiter.geometry.graph import BendStep, Graph
from bandlimiter.sampling.boundary.length_estimates import gap, gaps_and_lengths, incoming_norms
from bandlimiter.tensors import ChunkLimit, map_chunks

# Rows of units of one layer or of neighbouring ones: a pass ends with its last unit's layer,
# so that many small passes cost less than a few large ones (ResNet-20, CPU: a third).
_ROWS = 64


@dataclass(frozen=True)
class Units:
    """All units of a network's bends, numbered through the layers in order of evaluation.

    Parameters
    ----------
    graph
        The network, on the inputs' device and in their dtype.
    limit
        Bounds the inputs of one pass.
    """

    graph: Graph
    limit: ChunkLimit
    _norms: dict[tuple[float, ...], torch.Tensor] = field(default_factory=dict)

    @cached_property
    def first(self) -> list[int]:
        """Each layer's first unit, and at the end the number of all units."""
        sizes = (math.prod(s.shape) for s in self.graph.layers if isinstance(s, BendStep))
        return [0, *accumulate(sizes)]

    @property
    def first_of_last(self) -> int:
        """The last layer's first unit; 0 where there is no layer."""
        return [0, *self.first][-2]

    @property
    def count(self) -> int:
        """U, the number of units."""
        return self.first[-1]

    def gaps_and_gradients(
        self, x: torch.Tensor, units: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Differentiate chosen units, many at once.

        Parameters
        ----------
        x
            [1, *shape] one input.
        units
            [C] int64 on the CPU, increasing.

        Returns
        -------
        gaps
            [C] pre-activation minus the nearest threshold of the activation.
        gradients
            [C, *shape] of the pre-activations.
        """
        parts = []
        for some in torch.split(units, _ROWS):

            def one_pass(
                start: int, stop: int, some: torch.Tensor = some
            ) -> tuple[torch.Tensor, ...]:
                return self._differentiate(x, some[start:stop])

            parts.append(map_chunks(one_pass, len(some), self.limit, x))
        gaps, gradients = (torch.cat(column) for column in zip(*parts, strict=True))
        return gaps, gradients

    def estimated_distances(self, x: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        """Return every unit's |gap| / |gradient| to a quarter or so; see `gaps_and_lengths`."""
        return distances_of(*gaps_and_lengths(self.graph, x, scale, self.limit))

    def incoming_norms(self, x: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        """Return every unit's `incoming_norms`, found once for each scale."""
        key = tuple(scale.flatten().tolist())
        if key not in self._norms:
            self._norms[key] = incoming_norms(self.graph, x, scale, self.limit)
        return self._norms[key]

    def _differentiate(
        self, x: torch.Tensor, units: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """One pass of `gaps_and_gradients`: each unit has a copy of x for its own."""
        rows = x.expand(len(units), *x.shape[1:]).clone().requires_grad_()
        bounds = torch.searchsorted(units, torch.tensor(self.first)).tolist()
        gaps = []
        for layer, (g, activation) in enumerate(self._layers(rows, int(units[-1]))):
            own = torch.arange(bounds[layer], bounds[layer + 1])
            gaps.append(gap(g[own, units[own] - self.first[layer]], activation))
        together = torch.cat(gaps)
        return together.detach(), torch.autograd.grad(together.sum(), rows)[0]

    def _layers(self, x: torch.Tensor, last: int) -> Iterator[tuple[torch.Tensor, Activation]]:
        """Yield each layer's pre-activations [N, units], up to the layer of the unit ``last``."""
        registers = {0: x}
        seen = 0
        for step in self.graph.walk(registers):
            if isinstance(step, BendStep):
                yield registers[step.source].flatten(1), step.activation
                seen += math.prod(step.shape)
                if seen > last:
                    return


def distances_of(gaps: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Return |gap| / |gradient| in float64; infinite without a (finite) gradient: [C]."""
    bends = (lengths > 0) & torch.isfinite(lengths)
    return torch.where(bends, gaps.double().abs() / lengths, torch.inf)
