"""Labels as float32 gives them, at the price of a fast copy: close decisions are taken again.

A copy's averaged scores differ from the model's by at most some d; where the leading class is more
than 2 d ahead, both name the same one. d is *measured* on images of the kinds that a run meets, not
proven: it is 4 times the largest difference seen, one accepted answer in 50 is checked, and a
larger difference there widens it.
"""

from collections.abc import Sequence

import torch
from torch import nn
from typing_extensions import override

from bandlimiter.defence import PostAverage, Stop
from bandlimiter.defence.stopping import Spending
from bandlimiter.errors import InputError
from bandlimiter.tensors import Key

LEAST_BOUND = 1e-3
"""Below this, d is not believed."""

SAFETY = 4.0
"""d over the largest difference that was measured."""

_CHECKED = 50
"""One accepted answer of so many is checked in float32."""


class ScreenedAverage(nn.Module):
    """A `PostAverage` with labels of its own, taken from a copy of its model where these agree.

    Parameters
    ----------
    average
        Of the vote softmax, around the float32 model.
    copy
        The model's fast copy.

    Attributes
    ----------
    bound
        d: by how much averaged probabilities of the two may differ. Infinite until `measure`, so
        that float32 gives every answer. It grows where a check finds a larger difference: labels
        from before may be wrong then, and whoever keeps them takes them again.
    held, largest
        d as it was measured, and the largest difference that a check found since.
    """

    def __init__(self, average: PostAverage, copy: nn.Module) -> None:
        super().__init__()
        self.average, self.training = average, False
        self._fast = average.variant(model=copy)
        self.hold(torch.inf)

    @torch.no_grad()
    def measure(self, x: torch.Tensor) -> None:
        """Measure d on images x [N, ...]: `SAFETY` times the largest difference, at least 1e-3."""
        keys = [f"bound/{i}" for i in range(len(x))]
        exact, fast = (
            each.named_scores(x, keys).softmax(dim=1) for each in (self.average, self._fast)
        )
        self.hold(max(LEAST_BOUND, SAFETY * float((exact - fast).abs().max())))

    def hold(self, bound: float) -> None:
        """Set d to ``bound``, until a check finds a larger difference."""
        self.held = self.bound = bound
        self.largest = 0.0

    @property
    def evaluations(self) -> int:
        """See `PostAverage.evaluations`."""
        return self.average.evaluations

    @override
    def train(self, mode: bool = True) -> "ScreenedAverage":
        """Change nothing: parts keep their modes."""
        return self

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return scores with the argmax of the average's own: [N, ...] -> [N, classes]."""
        return self.named_scores(x, self.average.name_draws(x, None))

    @torch.no_grad()
    def named_scores(self, x: torch.Tensor, keys: Sequence[Key]) -> torch.Tensor:
        """Return `forward`'s scores, fresh draws named by ``keys``."""
        if self.bound >= 0.5:  # nothing is accepted
            return self.average.named_scores(x, keys)
        try:
            scores = self._fast.named_scores(x, keys)
        except InputError:  # NaN of the copy, which the model need not give
            return self.average.named_scores(x, keys)
        probabilities = scores.softmax(dim=1)
        again = _lead(probabilities) <= 2 * self.bound
        return self._settled(x, keys, scores, probabilities, again)

    @torch.no_grad()
    def clear_labels(self, x: torch.Tensor, keys: Sequence[Key] | None) -> torch.Tensor:
        """Return labels [N] where the copy is sure, and -1 where float32 would have to be asked.

        None of them is checked: what an attack leaves with, it judges with `named_scores`.
        """
        if self.bound >= 0.5:
            return self.average.predict(x, stop="exact", keys=keys).labels
        spending = Spending("exact", 1e-3, self.evaluations, slack=self.bound)
        names = self.average.name_draws(x, keys)
        try:
            early = self._fast.predict_early(x, spending, names)
        except InputError:
            return self.average.predict(x, stop="exact", keys=names).labels
        return torch.where(early.decided, early.labels, -1)

    @torch.no_grad()
    def labels(
        self, x: torch.Tensor, keys: Sequence[Key], stop: Stop, alpha: float
    ) -> torch.Tensor:
        """Return labels [N], which stop early by `PostAverage.predict`'s rules widened by d."""
        if self.bound >= 0.5:
            return self.average.predict(x, stop=stop, alpha=alpha, keys=keys).labels
        if stop == "never":
            return self.named_scores(x, keys).argmax(dim=1)
        self.average.require_fitting(x)
        spending = Spending(stop, alpha, self.evaluations, slack=self.bound)
        try:
            early = self._fast.predict_early(x, spending, keys)
        except InputError:
            return self.average.predict(x, stop=stop, alpha=alpha, keys=keys).labels
        labels = early.labels
        rows = (~early.decided | _chosen(x)).nonzero().flatten()
        if len(rows):
            labels[rows] = self.named_scores(x[rows], [keys[i] for i in rows.tolist()]).argmax(1)
        return labels

    def _settled(
        self,
        x: torch.Tensor,
        keys: Sequence[Key],
        scores: torch.Tensor,
        probabilities: torch.Tensor,
        again: torch.Tensor,
    ) -> torch.Tensor:
        """Put float32's scores where it is asked, and learn from the difference."""
        rows = (again | _chosen(x)).nonzero().flatten()
        if not len(rows):
            return scores
        exact = self.average.named_scores(x[rows], [keys[i] for i in rows.tolist()])
        largest = float((exact.softmax(dim=1) - probabilities[rows]).abs().max())
        self.largest = max(self.largest, largest)
        if largest > self.bound:
            self.bound = SAFETY * largest
            return self.named_scores(x, keys)
        scores = scores.clone()
        scores[rows] = exact.to(scores.dtype)
        return scores


def _lead(probabilities: torch.Tensor) -> torch.Tensor:
    first, second = probabilities.topk(2, dim=1).values.unbind(dim=1)
    return first - second


def _chosen(x: torch.Tensor) -> torch.Tensor:
    """Choose inputs by their bits, so that neither order nor batches matter: [N] bool."""
    bits = x.float().contiguous().flatten(1).view(torch.int32)
    return bits.sum(dim=1) * 2654435761 % 2**32 < 2**32 // _CHECKED
