"""How far a point's affine piece reaches along a direction, without tracing a line."""

from dataclasses import dataclass

import torch
from numpy.typing import ArrayLike
from torch import nn

from bandlimiter.errors import InputError
from bandlimiter.geometry.graph import AffineStep, BendStep, Graph, MaxStep
from bandlimiter.geometry.tracing.inputs import place_graph, points_per_pass
from bandlimiter.geometry.tracing.rounding import Moduli
from bandlimiter.tensors import as_float64


@dataclass(frozen=True)
class PieceAround:
    """The piece of a line x + s d around s = 0 on which a network is affine.

    Attributes
    ----------
    before, after
        [N] float64 on the CPU, at least 0, infinite where nothing is met: the piece is
        -before < s < after. A point where pieces meet belongs to the one after it (``before``
        is 0).
    """

    before: torch.Tensor
    after: torch.Tensor

    @property
    def length(self) -> torch.Tensor:
        """[N]: the piece's length in units of d."""
        return self.before + self.after


def piece_around(
    module: nn.Module | Graph,
    points: ArrayLike | torch.Tensor,
    directions: ArrayLike | torch.Tensor,
    *,
    memory: float = 512,
    device: str | torch.device | None = None,
) -> PieceAround:
    """Return how far lines through points stay in the points' linear regions, exactly.

    Within the region every pre-activation is affine, so that its value and its derivative
    along the line say where it reaches its threshold. Costs four evaluations per line: both,
    and the scale of both.

    Parameters
    ----------
    module
        As for `trace_line`.
    points, directions
        [N, ...] of one shape, in the units of the input.
    memory
        Mebibytes for the values of one pass.
    device
        Where to compute; None is the module's own.

    Raises
    ------
    InputError
        (a ValueError) for batches of different shapes, or not finite.
    ConfigurationError
        (a ValueError) for a layer that is not piecewise linear.

    Examples
    --------
    >>> network = nn.Sequential(nn.Linear(1, 1), nn.ReLU()).double()
    >>> _ = nn.init.ones_(network[0].weight), nn.init.zeros_(network[0].bias)
    >>> piece = piece_around(network, torch.tensor([[0.5]]), torch.tensor([[2.0]]))
    >>> piece.before.tolist(), piece.after.tolist()
    ([0.25], [inf])
    """
    points, directions = (
        torch.from_numpy(as_float64(given, "points and directions"))
        for given in (points, directions)
    )
    if points.shape != directions.shape or points.ndim < 2 or len(points) == 0:
        raise InputError(
            f"expected points and directions [N, ...] of one shape, got {tuple(points.shape)} and "
            f"{tuple(directions.shape)}"
        )
    if not (torch.isfinite(points).all() and torch.isfinite(directions).all()):
        raise InputError("expected finite points and directions, got NaN or infinite numbers")
    graph = place_graph(module, tuple(points.shape[1:]), device)
    x, d = points.to(graph.device), directions.to(graph.device)
    size = points_per_pass(graph, memory) // 4
    with torch.inference_mode():
        reach = [
            _reach(graph, part, along)
            for part, along in zip(torch.split(x, size), torch.split(d, size), strict=True)
        ]
    before, after = (torch.cat(column).cpu().clone() for column in zip(*reach, strict=True))
    return PieceAround(before, after)


def _reach(graph: Graph, x: torch.Tensor, d: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Carry values and derivatives through the network, and note who is reached first."""
    values, slopes = {0: x}, {0: d}
    of_values, of_slopes = Moduli(graph, x), Moduli(graph, d, differences=True)
    before, after = x.new_full((len(x),), torch.inf), x.new_full((len(x),), torch.inf)
    for number, step in enumerate(graph.steps):
        if isinstance(step, AffineStep):
            values[step.target] = step.apply(values)
            slopes[step.target] = step.call.linear(*(slopes[source] for source in step.sources))
        else:
            noise = of_values.noise(step), of_slopes.noise(step)
            g, dg = values[step.source], slopes[step.source]
            if isinstance(step, BendStep):
                bent = _bend(step, g, dg, *noise)
            else:
                bent = _maximum(step, g, dg, *noise)
            values[step.target], slopes[step.target], changes = bent
            ahead = torch.where(changes > 0, changes, torch.inf).flatten(1).amin(dim=1)
            behind = torch.where(changes <= 0, changes.abs(), torch.inf).flatten(1).amin(dim=1)
            before, after = torch.minimum(before, behind), torch.minimum(after, ahead)
        of_values.follow(number, step, values[step.target])
        of_slopes.follow(number, step, slopes[step.target])
        graph.forget(values, number)
        graph.forget(slopes, number)
    return before, after


Bent = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""Value and derivative, and for which s states change: infinite or NaN where they never do."""


def _bend(
    step: BendStep,
    g: torch.Tensor,
    dg: torch.Tensor,
    noise: torch.Tensor,
    slope_noise: torch.Tensor,
) -> Bent:
    dg = _without(slope_noise.view_as(dg), dg)
    piece, changes = torch.zeros_like(g, dtype=torch.long), []
    for threshold in step.activation.thresholds.tolist():
        gap = _without(noise.view_as(g), threshold - g)
        piece += (gap < 0) | ((gap == 0) & (dg > 0))  # on its threshold, a unit is where it goes
        changes.append(gap / dg)
    slopes = torch.from_numpy(step.activation.slopes).to(g)
    return step.activation.on_tensor(g), slopes[piece] * dg, torch.stack(changes, dim=1)


def _maximum(
    step: MaxStep,
    g: torch.Tensor,
    dg: torch.Tensor,
    noise: torch.Tensor,
    slope_noise: torch.Tensor,
) -> Bent:
    held, rise = step.gather(g), step.gather(dg)
    best = held.amax(dim=2, keepdim=True)
    lead = _without(noise[..., None], best - held)
    leader = torch.where(lead == 0, rise, -torch.inf).argmax(dim=2, keepdim=True)
    slope = rise.gather(2, leader)
    changes = lead / _without(slope_noise[..., None], rise - slope)
    shape = (-1, *step.shape)
    return best.view(shape), slope.view(shape), changes


def _without(noise: torch.Tensor, difference: torch.Tensor) -> torch.Tensor:
    """Put zero for what is zero but for rounding."""
    return torch.where(difference.abs() > noise, difference, 0.0)
