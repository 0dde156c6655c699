"""The average over a batch's points: all of them, or in rounds until the label is known."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import nn

from bandlimiter.defence.offsets import Offsets
from bandlimiter.defence.passes import logits_at_points, scores_in_order
from bandlimiter.defence.prediction import Prediction
from bandlimiter.defence.stopping import Spending, answer_in_rounds, draw_orders
from bandlimiter.defence.votes import Share
from bandlimiter.tensors import ChunkLimit, Key

# Inputs are taken in groups of about this many passes: enough that the last, shorter pass
# hardly counts, few enough that the points' logits and fresh draws stay small.
_PASSES_PER_GROUP = 8

# Under an early stop, groups are larger, as only the last few inputs of a group leave passes
# unfilled; draws of their own must still fit into this many numbers (64 MiB).
_LEAST_TOGETHER = 64
_DRAWN_NUMBERS = 2**24

# What fills a pass: half of its limit, where a CPU is at 92 % of its speed (compiled ResNet-56 in
# bf16, 64 of 128 inputs per pass: 1414 evaluations a second of 1539); and where only a few large
# inputs go through at once, enough of them that a lone image is not taken point by point.
_FULL_PASS = 2
_LEAST_PASS = 8


def all_scores(
    model: nn.Module,
    offsets: Offsets,
    scores: Callable[[torch.Tensor], torch.Tensor],
    x: torch.Tensor,
    keys: Sequence[Key],
    limit: ChunkLimit,
    points: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return the scores [N, classes] of all 6K + 1 points around inputs x [N, ...].

    Parameters
    ----------
    model
        Evaluated at the points.
    offsets
        Give them.
    scores
        Logits [n, P, classes] of all points -> [n, classes]; see `Vote`.
    x, keys
        Inputs, and the names of their draws.
    limit
        Of inputs in a pass.
    points
        [p] int64, some of the points alone.
    """
    count = offsets.evaluations if points is None else len(points)
    size = max(1, _PASSES_PER_GROUP * limit.resolve(x) // count)
    found = []
    for part, names in _groups(x, keys, size):
        around = offsets.around(part, names)
        around = around if points is None else around.only(points)
        found.append(scores(logits_at_points(model, around, part, limit)))
    return torch.cat(found)


def early_answers(
    model: nn.Module,
    offsets: Offsets,
    share: Share,
    x: torch.Tensor,
    keys: Sequence[Key],
    spending: Spending,
    limit: ChunkLimit,
) -> Prediction:
    """Return answers that stop early; as `all_scores`, but for ``share``, see `Vote`."""
    parts = [
        _early(model, offsets, share, part, names, spending, limit)
        for part, names in _groups(x, keys, most_together(offsets, x, limit))
    ]
    return Prediction(*(torch.cat(column) for column in zip(*parts, strict=True)))


def most_together(offsets: Offsets, x: torch.Tensor, limit: ChunkLimit) -> int:
    """Return how many inputs are decided side by side."""
    most = max(_LEAST_TOGETHER, limit.resolve(x))
    if offsets.shared:
        return most
    vectors = offsets.evaluations // len(offsets.sampler.steps)
    return max(1, min(most, _DRAWN_NUMBERS // (vectors * x[:1].numel())))


def _early(
    model: nn.Module,
    offsets: Offsets,
    share: Share,
    x: torch.Tensor,
    keys: Sequence[Key],
    spending: Spending,
    limit: ChunkLimit,
) -> Prediction:
    fixed = offsets.randomness == "fixed"  # then one order for all
    names: list[tuple[Key, ...]] = [()] if fixed else [("input", key) for key in keys]
    orders = draw_orders(offsets.evaluations, offsets.seed, names).to(x.device)
    scores = scores_in_order(model, offsets.around(x, keys), orders, share, x, limit)
    most = limit.resolve(x)
    full = max(min(most, _LEAST_PASS), most // _FULL_PASS)
    answers = answer_in_rounds(scores, spending, torch.arange(len(x), device=x.device), full)
    return Prediction(answers.labels, answers.means, answers.samples, answers.decided)


def _groups(
    x: torch.Tensor, keys: Sequence[Key], size: int
) -> Iterator[tuple[torch.Tensor, Sequence[Key]]]:
    for start in range(0, len(x), size):
        yield x[start : start + size], keys[start : start + size]
