"""Where a layer's units change state between stored points of a line.

Between two stored points everything that a layer reads is affine in t, so that its values at
the points say all. A bend's unit changes state where its number passes a threshold. A
maximum changes state where another of its numbers becomes the largest: the winners at both
ends can hide a third between them, so that the upper envelope of the lines is walked.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from bandlimiter.geometry.graph import BendStep, MaxStep


@dataclass(frozen=True)
class Crossings:
    """State changes of one layer on P stored points, P - 1 pieces.

    Attributes
    ----------
    piece, weight, unit, threshold
        [E] each: changes between points ``piece`` and ``piece + 1``, ``weight`` in (0, 1)
        of the way; ordered along the line. ``threshold`` numbers a bend's thresholds.
    point, point_unit, point_threshold
        [S] each: changes at stored points (degenerate, or of several layers at once).
    first, last
        The states on the first and the last piece, to be compared with the neighbours'.
    """

    piece: torch.Tensor
    weight: torch.Tensor
    unit: torch.Tensor
    threshold: torch.Tensor
    point: torch.Tensor
    point_unit: torch.Tensor
    point_threshold: torch.Tensor
    first: torch.Tensor
    last: torch.Tensor


def crossings_of(
    step: BendStep | MaxStep, source: torch.Tensor, tolerance: torch.Tensor
) -> Crossings:
    """Return a layer's state changes.

    Parameters
    ----------
    step
        The layer.
    source
        [P, ...] what it reads, at the stored points. A bend's numbers that are on a threshold
        are set to it.
    tolerance
        [units]: numbers that differ by less are equal; what is zero on paper is noise here.
    """
    if isinstance(step, BendStep):
        return _of_bend(step, source.flatten(1), tolerance)
    return _of_maximum(step.gather(source), tolerance)


def changed_units(
    step: BendStep | MaxStep, before: torch.Tensor, after: torch.Tensor
) -> torch.Tensor:
    """Return [C, 2] the (unit, threshold) pairs whose state differs between two pieces."""
    if isinstance(step, BendStep):
        return (before != after).nonzero()
    units = _disjoint(before, after).nonzero()
    return torch.cat([units, torch.zeros_like(units)], dim=1)


def _of_bend(step: BendStep, g: torch.Tensor, tolerance: torch.Tensor) -> Crossings:
    inside: list[tuple[torch.Tensor, ...]] = []
    at_points: list[tuple[torch.Tensor, ...]] = []
    first, last = [], []
    for number, threshold in enumerate(step.activation.thresholds.tolist()):
        above, below = g > threshold + tolerance, g < threshold - tolerance
        on = ~(above | below)
        if (
            g.is_contiguous() and on.any()
        ):  # or their rounding would be read as signs by the next layer
            g.masked_fill_(on, threshold)
        passes = (above[:-1] & below[1:]) | (below[:-1] & above[1:])
        piece, unit = passes.nonzero(as_tuple=True)
        start, fall = g[piece, unit] - threshold, g[piece, unit] - g[piece + 1, unit]
        inside.append((piece, start / fall, fall, unit, torch.full_like(unit, number)))

        # A unit on its threshold at a point is, on each side, where it is at the next point.
        point, unit = on[1:-1].nonzero(as_tuple=True)
        differs = above[point, unit] != above[point + 2, unit]
        point, unit = point[differs] + 1, unit[differs]
        at_points.append((point, unit, torch.full_like(unit, number)))
        first.append(above[0] | (on[0] & above[1]))
        last.append(above[-1] | (on[-1] & above[-2]))
    piece, weight, fall, unit, threshold = _columns(inside)
    along, weight = _along(piece, weight, fall, tolerance[unit])
    point, point_unit, point_threshold = _columns(at_points)
    return Crossings(
        piece[along],
        weight,
        unit[along],
        threshold[along],
        point,
        point_unit,
        point_threshold,
        first=torch.stack(first, dim=1),
        last=torch.stack(last, dim=1),
    )


def _of_maximum(held: torch.Tensor, tolerance: torch.Tensor) -> Crossings:
    wins = _highest(held, tolerance[:, None])
    # A number that wins at both ends wins between them: the maximum is convex.
    starts = wins[:-1] & wins[1:]
    ends = starts
    piece, unit = (~starts.any(dim=2)).nonzero(as_tuple=True)
    from_, to, near = held[piece, unit], held[piece + 1, unit], tolerance[unit, None]
    if len(piece):
        ends = starts.clone()
        rise = to - from_
        starts[piece, unit] = _steepest(wins[piece, unit], rise, near)
        ends[piece, unit] = _steepest(wins[piece + 1, unit], -rise, near)
    number, weight, gain = _envelope(from_, to, near)
    piece, unit = piece[number], unit[number]
    along, weight = _along(piece, weight, gain, tolerance[unit])
    point, point_unit = _disjoint(ends[:-1], starts[1:]).nonzero(as_tuple=True)
    return Crossings(
        piece[along],
        weight,
        unit[along],
        torch.zeros_like(along),
        point + 1,
        point_unit,
        torch.zeros_like(point),
        first=starts[0].clone(),
        last=ends[-1].clone(),
    )


def _envelope(
    start: torch.Tensor, end: torch.Tensor, tolerance: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    """Walk the upper envelopes of lines from ``start`` to ``end``: [E, k]; tolerance [E, 1].

    Returns
    -------
    number, weight, gain
        [C] each: at which part of the way, in (0, 1), another line of an envelope becomes
        the highest, and how much steeper it is than the line before.
    """
    found = [(start.new_zeros(0, dtype=torch.long), start.new_zeros(0), start.new_zeros(0))]
    number = torch.arange(len(start), device=start.device)
    rise = end - start
    high = _highest(start, tolerance)
    best = torch.where(high, rise, -torch.inf).argmax(dim=1, keepdim=True)
    while len(number):
        lead = start.gather(1, best) - start
        gain = rise - rise.gather(1, best)
        when = torch.where(gain > 0, lead / gain, torch.inf)
        at = when.amin(dim=1, keepdim=True)
        # Of those that are as high there, the steepest keeps the lead: three may meet in a point.
        high = (when <= at) | _highest(start + at * rise, tolerance)
        best = torch.where(high, rise, -torch.inf).argmax(dim=1, keepdim=True)
        going = (at < 1).squeeze(1)
        gained = gain.gather(1, best)
        found.append((number[going], at[going, 0].clamp(0, 1), gained[going, 0]))
        going &= ~_highest(end, tolerance).gather(1, best).squeeze(1)
        number, start, end = number[going], start[going], end[going]
        rise, best, tolerance = rise[going], best[going], tolerance[going]
    return _columns(found)


def _highest(numbers: torch.Tensor, tolerance: torch.Tensor) -> torch.Tensor:
    """Return which numbers of each window win: [..., k]."""
    return numbers >= numbers.amax(dim=-1, keepdim=True) - tolerance


def _steepest(wins: torch.Tensor, rise: torch.Tensor, tolerance: torch.Tensor) -> torch.Tensor:
    """Return which of the winners win just after: those that rise most."""
    return wins & _highest(torch.where(wins, rise, -torch.inf), tolerance)


def _disjoint(before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """Whether no number wins on both pieces: [..., units, k] -> [..., units]."""
    return ~(before & after).any(dim=-1)


def _columns(rows: Sequence[tuple[torch.Tensor, ...]]) -> tuple[torch.Tensor, ...]:
    return tuple(torch.cat(column) for column in zip(*rows, strict=True))


def _along(
    piece: torch.Tensor, weight: torch.Tensor, speed: torch.Tensor, tolerance: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the order along the line, by piece and by weight within it, and the weights in it.

    What changes at once on paper changes at once here: a number that is on its threshold
    already where the one before it passes its own does so there, too.
    """
    by_weight = weight.argsort(stable=True)
    along = by_weight[piece[by_weight].argsort(stable=True)]
    piece, weight, near = piece[along], weight[along], tolerance[along] / speed[along].abs()
    new = torch.ones_like(piece, dtype=torch.bool)
    new[1:] = (piece[1:] != piece[:-1]) | (weight.diff() > near[1:])
    return along, weight[new][new.cumsum(0) - 1]
