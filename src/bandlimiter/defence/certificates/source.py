"""Evaluates a model at noisy points around inputs, in passes of one size."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch

from bandlimiter.defence.certificates.noise import Noise, Stream
from bandlimiter.tensors import Key, model_logits

if TYPE_CHECKING:
    from bandlimiter.defence.post_average import PostAverage

BLOCK = 32
"""Points of an input that are drawn together, after which its tests are looked at."""


class Source:
    """Evaluates the model of a defence around a group of inputs.

    Parameters
    ----------
    defence
        Gives the model, its vote and the seed.
    noise
        What is added.
    x
        [N, ...] on the model's device.
    keys
        [N], names of the inputs' draws.
    budget
        The most evaluations per input, those that fill passes up included; None for any number.
    pilot
        With a budget: how many are made first, and at most in a pass.

    Attributes
    ----------
    moved
        [N] float64, how far inputs are from the lattice.
    size
        Points in a pass.
    """

    def __init__(
        self,
        defence: "PostAverage",
        noise: Noise,
        x: torch.Tensor,
        keys: Sequence[Key],
        *,
        budget: int | None = None,
        pilot: int = BLOCK,
    ) -> None:
        self.defence, self.noise, self._keys, self._shape = defence, noise, keys, x.shape[1:]
        self._device = x.device
        numbers, self.moved = noise.lattice.round(x)
        self.numbers = numbers.flatten(1)
        self.size = defence.points_per_pass(x)
        self._left: int | None = None
        if budget is not None:
            self._left, self.size = len(x) * budget, min(self.size, pilot)
        self._share = defence.share_of_votes("certify")

    def affords(self, points: int) -> bool:
        """Whether the budget is enough for so many points, in whole passes."""
        return self._left is None or -(-points // self.size) * self.size <= self._left

    def shares(self, rows: Sequence[int], stage: str, start: int, stop: int) -> torch.Tensor:
        """Return what the points ``start`` to ``stop - 1`` say: [len(rows), stop - start, C].

        They are independent of those of all other rows, stages and places.
        """
        blocks = (
            self._block(row, stage, first)[: stop - first]
            for row in rows
            for first in range(start, stop, BLOCK)
        )
        answers = [self._answers(points) for points in _passes(blocks, self.size)]
        if self._left is not None:
            self._left -= len(answers) * self.size
        return torch.cat(answers)[: len(rows) * (stop - start)].view(len(rows), stop - start, -1)

    def _block(self, row: int, stage: str, first: int) -> torch.Tensor:
        name = (self._keys[row], stage, first // BLOCK)
        stream = Stream(self.defence.seed, name, self._device)
        return self.noise.around(self.numbers[row], BLOCK, stream)

    def _answers(self, points: torch.Tensor) -> torch.Tensor:
        logits = model_logits(self.defence.model, points.view(-1, *self._shape))
        return self._share(logits.to(torch.promote_types(logits.dtype, torch.float32)))


def _passes(blocks: Iterator[torch.Tensor], size: int) -> Iterator[torch.Tensor]:
    """Yield the points of all blocks in passes of ``size``; the last one repeats its last point."""
    held: list[torch.Tensor] = []
    count = 0
    for block in blocks:
        held.append(block)
        count += len(block)
        while count >= size:
            joined = torch.cat(held)
            yield joined[:size]
            held, count = [joined[size:]], count - size
    if count:
        joined = torch.cat(held)
        yield torch.cat([joined, joined[-1:].expand(size - count, -1)])
