"""The average over some of its points: a cheap estimate of its gradient, and of nothing else."""

from collections.abc import Callable, Sequence

import torch
from torch import nn

from bandlimiter.tensors import Key

ScoresAt = Callable[[torch.Tensor, torch.Tensor, Sequence[Key] | None], torch.Tensor]
"""(x [N, ...], points [p], keys) -> scores [N, classes]; see `PostAverage.scores_at`."""


class PartOfAverage(nn.Module):
    """Some of an average's points, the same for all inputs; see `PostAverage.part`.

    Attacks follow its gradient where they may be wrong; what they find, all points judge.

    Parameters
    ----------
    average
        Of which it is a part.
    scores_at
        The average's.
    points
        [p] int64, numbers of points.
    keeps_graphs
        See `PostAverage.keeps_graphs`.
    """

    def __init__(
        self, average: nn.Module, scores_at: ScoresAt, points: torch.Tensor, keeps_graphs: bool
    ) -> None:
        super().__init__()
        self.average, self.training = average, False
        self.points, self.keeps_graphs = points, keeps_graphs
        self._scores_at = scores_at

    @property
    def evaluations(self) -> int:
        """Evaluations of the network for one answer."""
        return len(self.points)

    @property
    def random(self) -> bool:
        """Whether an input has other points each time."""
        return getattr(self.average, "randomness", "fixed") == "fresh"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return scores as the average itself does: [N, ...] -> [N, classes]."""
        return self._scores_at(x, self.points, None)

    def named_scores(self, x: torch.Tensor, keys: Sequence[Key]) -> torch.Tensor:
        """See `PostAverage.named_scores`."""
        return self._scores_at(x, self.points, keys)
