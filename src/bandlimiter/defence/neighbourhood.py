"""The points at which a classifier is evaluated, for a whole batch at once."""

from copy import copy

import torch

from bandlimiter.defence.scale import placed
from bandlimiter.sampling import AnySampler

_MOST_KEPT = 2**24
"""Numbers in the largest table of offsets that is kept: 64 MiB in float32."""


class Neighbourhood:
    """The points of a whole batch's neighbourhoods in one numbering, input by input.

    Input i owns the points i * P ... i * P + P - 1. Each is
    ``x + scale * length * vector``; the centre, where the sampler has one, is the first
    and simply has length zero, so that no point is a special case.

    Parameters
    ----------
    x
        [N, *shape] pixels.
    vectors
        [1, M, *shape] shared by all inputs, or [N, M, *shape], a set for each input.
    sampler
        Gives the steps and the centre.
    radius
        r, in the network's input space.
    scale
        Turns an offset in the network's input space into pixels: a number, or a tensor
        that broadcasts against x.
    """

    def __init__(
        self,
        x: torch.Tensor,
        vectors: torch.Tensor,
        sampler: AnySampler,
        radius: float,
        scale: float | torch.Tensor,
    ) -> None:
        self._x, self._vectors, self._scale = x, vectors, placed(scale, x)
        self._all: torch.Tensor | None = None
        index, lengths = [], []
        if sampler.centre:
            index, lengths = [0], [0.0]
        for vector in range(vectors.shape[1]):
            for step in sampler.steps:
                index.append(vector)
                lengths.append(radius * step)
        self._index = torch.tensor(index, device=x.device)
        self._lengths = torch.tensor(lengths, dtype=torch.float64, device=x.device)

    def only(self, points: torch.Tensor) -> "Neighbourhood":
        """Return the same with some of each input's points: [p] int64."""
        part = copy(self)
        at = points.to(self._index.device)
        part._index, part._lengths, part._all = self._index[at], self._lengths[at], None
        return part

    @property
    def points_per_input(self) -> int:
        """P, the number of evaluations for one answer."""
        return len(self._index)

    def points(self, start: int, stop: int) -> torch.Tensor:
        """Return the points numbered ``start`` to ``stop - 1``: [stop - start, *shape]."""
        number = torch.arange(start, stop, device=self._x.device)
        return self.at(number // self.points_per_input, number % self.points_per_input)

    def at(self, owner: torch.Tensor, point: torch.Tensor) -> torch.Tensor:
        """Return points of chosen inputs: [B, *shape].

        The sum is formed in float32 at least and rounded to x's dtype once.

        Parameters
        ----------
        owner
            [B] int64, numbers of inputs.
        point
            [B] int64, which of that input's P points.
        """
        dtype = torch.promote_types(self._x.dtype, torch.float32)
        if len(self._vectors) == 1 and self.points_per_input * self._x[0].numel() <= _MOST_KEPT:
            offsets = self._table(dtype)[point]
        else:
            drawn_for = owner if len(self._vectors) > 1 else torch.zeros_like(owner)
            offsets = self._offsets(drawn_for, point, dtype)
        return offsets.add_(self._x[owner]).to(self._x.dtype)

    def _offsets(
        self, drawn_for: torch.Tensor, point: torch.Tensor, dtype: torch.dtype
    ) -> torch.Tensor:
        vectors = self._vectors[drawn_for, self._index[point]].to(dtype)
        lengths = self._lengths[point].to(dtype).view(-1, *[1] * (self._x.ndim - 1))
        return (lengths * vectors * self._scale).to(dtype)

    def _table(self, dtype: torch.dtype) -> torch.Tensor:
        """Return the offsets of all points, made once where all inputs share them."""
        if self._all is None:
            every = torch.arange(self.points_per_input, device=self._x.device)
            self._all = self._offsets(torch.zeros_like(every), every, dtype)
        return self._all
