"""The clean answers to a slice of the images, worked out when they are first asked for."""

from collections.abc import Sequence

import torch

from bandlimiter.data import ImageSet
from bandlimiter.evaluation.cases import CleanBatch
from bandlimiter.evaluation.judge import Judge


class CleanAnswers:
    """A slice as each defence answers it.

    Parameters
    ----------
    images
        The run's.
    positions
        Of the slice's images among them, ascending.
    """

    def __init__(self, images: ImageSet, positions: Sequence[int]) -> None:
        self._images, self.positions = images, tuple(positions)
        self._batches: dict[str, CleanBatch] = {}

    def of(self, judge: Judge) -> CleanBatch:
        """Return the slice as one judge's defence answers it; the plain answers are shared."""
        name = judge.defendant.name
        if name not in self._batches:
            known = next(iter(self._batches.values()), None)
            pixels = self._pixels(judge) if known is None else known.images
            where = list(self.positions)
            labels, ids = self._images.labels[where], self._images.ids[where]
            self._batches[name] = judge.clean(pixels, labels, ids, known)
        return self._batches[name]

    def _pixels(self, judge: Judge) -> torch.Tensor:
        parts = [self._images.images(i, i + 1) for i in self.positions]
        return judge.place(torch.cat(parts))
