"""How far a point's affine piece reaches along a direction, without tracing a line."""

from dataclasses import dataclass

import torch
from torch import nn

from bandlimiter.errors import InputError
from bandlimiter.geometry.graph import AffineStep, BendStep, Graph, MaxStep
from bandlimiter.geometry.tracing.inputs import place_graph, points_per_pass


@dataclass(frozen=True)
class PieceAround:
    """The piece of a line x + s d around s = 0 on which a network is affine.

    Attributes
    ----------
    before, after
        [N] float64 on the CPU, at least 0, infinite where nothing is met: the piece is
        -before < s < after.
    """

    before: torch.Tensor
    after: torch.Tensor

    @property
    def length(self) -> torch.Tensor:
        """[N]: the piece's length in units of d."""
        return self.before + self.after


def piece_around(
    module: nn.Module | Graph,
    points: torch.Tensor,
    directions: torch.Tensor,
    *,
    memory: float = 512,
    device: str | torch.device | None = None,
) -> PieceAround:
    """Return how far lines through points stay in the points' linear regions, exactly.

    Two evaluations a line: within the region every pre-activation is affine, so that its
    value and its derivative along the line say where it reaches its threshold.

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
    >>> piece_around(network, torch.tensor([[0.5]]), torch.tensor([[2.0]]))
    PieceAround(before=tensor([0.2500], dtype=torch.float64), after=tensor([inf], dtype=torch.float64))
    """
    if points.shape != directions.shape or points.ndim < 2 or len(points) == 0:
        raise InputError(
            f"expected points and directions [N, ...] of one shape, got {tuple(points.shape)} and "
            f"{tuple(directions.shape)}"
        )
    if not (torch.isfinite(points).all() and torch.isfinite(directions).all()):
        raise InputError("expected finite points and directions, got NaN or infinite numbers")
    graph = place_graph(module, tuple(points.shape[1:]), device)
    x, d = (given.detach().to(graph.device, torch.float64) for given in (points, directions))
    size = max(1, points_per_pass(graph, memory) // 2)
    with torch.inference_mode():
        reach = [
            _reach(graph, part, along)
            for part, along in zip(x.split(size), d.split(size), strict=True)
        ]
    before, after = (torch.cat(column).cpu().clone() for column in zip(*reach, strict=True))
    return PieceAround(before, after)


def _reach(graph: Graph, x: torch.Tensor, d: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Carry values and derivatives through the network, and note who is reached first."""
    values, slopes = {0: x}, {0: d}
    before, after = x.new_full((len(x),), torch.inf), x.new_full((len(x),), torch.inf)
    for number, step in enumerate(graph.steps):
        if isinstance(step, AffineStep):
            values[step.target] = step.apply(values)
            slopes[step.target] = step.call.linear(*(slopes[source] for source in step.sources))
        else:
            value, slope = values[step.source], slopes[step.source]
            bent = _bend if isinstance(step, BendStep) else _maximum
            values[step.target], slopes[step.target], back, ahead = bent(step, value, slope)
            before, after = torch.minimum(before, back), torch.minimum(after, ahead)
        graph.forget(values, number)
        graph.forget(slopes, number)
    return before, after


Bent = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


def _bend(step: BendStep, g: torch.Tensor, dg: torch.Tensor) -> Bent:
    activation = step.activation
    piece = sum(((g > float(h)).long() for h in activation.thresholds), torch.zeros_like(g).long())
    slopes = torch.from_numpy(activation.slopes).to(g)
    gaps = torch.stack([float(h) - g for h in activation.thresholds], dim=1)
    rise = dg[:, None].expand_as(gaps)
    back, ahead = _first_passed(gaps, -rise), _first_passed(gaps, rise)
    return activation.on_tensor(g), slopes[piece] * dg, back, ahead


def _maximum(step: MaxStep, g: torch.Tensor, dg: torch.Tensor) -> Bent:
    held, rise = step.gather(g), step.gather(dg)
    back, _ = _overtaken(held, -rise)
    ahead, leader = _overtaken(held, rise)
    shape = (-1, *step.shape)
    slope = rise.gather(2, leader).view(shape)
    return held.amax(dim=2).view(shape), slope, back.amin(dim=1), ahead.amin(dim=1)


def _first_passed(gap: torch.Tensor, rise: torch.Tensor) -> torch.Tensor:
    """Return when the first of the numbers ``gap`` below its threshold passes it: [N]."""
    # On its threshold a unit is below: going up it changes at once, going down never.
    passes = ((gap >= 0) & (rise > 0)) | ((gap < 0) & (rise < 0))
    return torch.where(passes, gap / rise, torch.inf).flatten(1).amin(dim=1)


def _overtaken(held: torch.Tensor, rise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return when each window's leader is overtaken [N, units], and who leads until then."""
    wins = held == held.amax(dim=2, keepdim=True)
    leader = torch.where(wins, rise, -torch.inf).argmax(dim=2, keepdim=True)
    lead = held.gather(2, leader) - held
    gain = rise - rise.gather(2, leader)
    return torch.where(gain > 0, lead / gain, torch.inf).amin(dim=2), leader
