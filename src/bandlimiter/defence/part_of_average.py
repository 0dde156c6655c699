"""The average over some of its points: a cheap estimate of its gradient, and of nothing else."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn

from bandlimiter.defence.stopping import draw_orders
from bandlimiter.tensors import Key

if TYPE_CHECKING:
    from bandlimiter.defence.post_average import PostAverage


class PartOfAverage(nn.Module):
    """A random part of a `PostAverage`'s points, the same for all inputs.

    Attacks follow its gradient where they may be wrong; what they find, all points judge.

    Parameters
    ----------
    average
        Of which it is a part.
    share
        In (0, 1]: which part of the points, one at least.
    turn
        Parts of other turns have other points, until all had theirs.
    """

    def __init__(self, average: "PostAverage", share: float, turn: int = 0) -> None:
        super().__init__()
        self.average, self.training = average, False
        self._count = max(1, round(share * average.evaluations))
        (order,) = draw_orders(average.evaluations, average.seed, [("part",)])
        self._points = order.roll(-turn * self._count)[: self._count].sort().values

    @property
    def evaluations(self) -> int:
        """Evaluations of the network for one answer."""
        return self._count

    @property
    def keeps_graphs(self) -> bool:
        """See `PostAverage.keeps_graphs`."""
        return self.average.keeps_graphs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return scores as the average itself does: [N, ...] -> [N, classes]."""
        return self.average.scores_at(x, self._points)

    def named_scores(self, x: torch.Tensor, keys: Sequence[Key]) -> torch.Tensor:
        """See `PostAverage.named_scores`."""
        return self.average.scores_at(x, self._points, keys)
