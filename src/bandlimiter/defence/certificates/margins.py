"""From a source of independent scores to labels and their margins, a block of points at a time."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from bandlimiter.defence.certificates.doubt import Doubt
from bandlimiter.defence.certificates.evidence import Choice, Evidence

BLOCK = 61
"""Points of an input that are drawn together; fixed, so that more samples extend fewer ones."""

_MOST_BETS = 2**20
"""Numbers in a bettor's working memory."""

Draw = Callable[[torch.Tensor, str, int, int], torch.Tensor]
"""(rows [U], stage, block, count) -> scores [U, count, C] of the inputs numbered in ``rows`` at the
first ``count`` points of a block, independent of all other blocks and stages."""


@dataclass(frozen=True)
class Plan:
    """How much is drawn, and how sure the answer shall be.

    Attributes
    ----------
    samples
        T, points from which a margin is estimated.
    selection
        S, other points, on which a label is chosen.
    alpha
        Level.
    """

    samples: int
    selection: int
    alpha: float


@dataclass(frozen=True)
class Margins:
    """For N inputs: labels [N], lower bounds of their margins [N], points spent [N].

    An input that was given up early has the bound -1, which always holds.
    """

    labels: torch.Tensor
    bounds: torch.Tensor
    spent: torch.Tensor


def find_margins(draw: Draw, rows: torch.Tensor, evidence: Evidence, plan: Plan) -> Margins:
    """Choose a label for each input on one set of points, and bound its margin on another.

    Parameters
    ----------
    draw
        The source of scores.
    rows
        [N] int64: arange(N), where the work is done.
    evidence
        What the scores are.
    plan
        How much to draw.

    Returns
    -------
    Margins
        For each input, the bound exceeds E f_A - max_j E f_j of its label A with probability at
        most alpha.
    """
    pilot = torch.cat([draw(rows, "selection", *part) for part in _blocks(plan.selection)], dim=1)
    choice = evidence.choose(pilot, plan.samples, plan.alpha)
    gains, spent, kept = _estimate(draw, rows, evidence, choice, plan)
    bounds = torch.full((len(rows),), -1.0, dtype=torch.float64, device=rows.device)
    for some in torch.split(kept, max(1, _MOST_BETS // gains[0].numel())):
        means = evidence.bounds(gains[some], choice.stakes[some], plan.alpha)
        bounds[some] = 2 * means.amin(dim=1) - 1
    return Margins(choice.labels, bounds, spent + plan.selection)


def _estimate(
    draw: Draw, rows: torch.Tensor, evidence: Evidence, choice: Choice, plan: Plan
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return gains [N, J, T], points spent [N], and the rows that were not given up [K]."""
    inputs, rivals = choice.stakes.shape
    gains = torch.empty(inputs, rivals, plan.samples, dtype=torch.float64, device=rows.device)
    doubt, spent = Doubt(inputs, rivals, plan.alpha, rows.device), torch.zeros_like(rows)
    for block, count in _blocks(plan.samples):
        new = evidence.gains(draw(rows, "estimation", block, count), choice.labels[rows])
        start = block * BLOCK
        gains[rows, :, start : start + count] = new
        spent[rows] += count
        doubt.observe(new)
        kept = (~doubt.hopeless()).nonzero().flatten()
        doubt.keep(kept)
        rows = rows[kept]
        if not len(rows):
            break
    return gains, spent, rows


def _blocks(count: int) -> list[tuple[int, int]]:
    """Cut ``count`` points: [(block, how many of it), ...]."""
    return [(start // BLOCK, min(BLOCK, count - start)) for start in range(0, count, BLOCK)]
