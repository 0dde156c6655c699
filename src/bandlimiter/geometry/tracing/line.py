"""All points of a segment where a network's units change state, exactly."""

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from bandlimiter.geometry.graph import Graph
from bandlimiter.geometry.tracing.inputs import (
    Progress,
    TraceLimitError,
    place_graph,
    points_per_pass,
    require_limit,
    two_points,
)
from bandlimiter.geometry.tracing.rounding import tolerances
from bandlimiter.geometry.tracing.sweep import Sweep

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_STEPS = 1000
"""Of progress along a line."""

PROBES = 9
"""Points of a line, ends included, at which the scale of its numbers is taken. Fixed, so that
results do not depend on how the line is divided."""


@dataclass(frozen=True)
class LineTrace:
    """A network on a segment, x(t) = start + t (end - start): affine between breakpoints.

    Attributes
    ----------
    t
        [B] float64 in [0, 1], not decreasing: a breakpoint for every (unit, threshold) that
        changes state. Units that change together have equal t.
    layer
        [B] the name of each unit's layer.
    unit
        [B] int64: the unit's place in its layer's flattened shape, ``shapes[layer]``.
    threshold
        [B] int64: which of the activation's thresholds (ReLU6 and Hardtanh have two).
    crossings
        How many breakpoints each layer has, by its name, first to last.
    outputs
        [B + 2, m] the outputs at 0, at each breakpoint, and at 1.
    shapes
        The shape of each layer's units, without the batch.
    length
        |end - start|, in the units of the input.
    left_off
        The name of the final softmax that was left off, None where there was none.
    reached
        How far the trace goes: 1, except in a `TraceLimitError`'s.
    """

    t: Floats
    layer: NDArray[np.str_]
    unit: NDArray[np.int64]
    threshold: NDArray[np.int64]
    crossings: dict[str, int]
    outputs: Floats
    shapes: dict[str, tuple[int, ...]] = field(repr=False)
    length: float
    left_off: str | None
    reached: float = 1.0

    def __len__(self) -> int:
        """Return B, the number of breakpoints."""
        return len(self.t)

    @property
    def knots(self) -> Floats:
        """[B + 2] the places of ``outputs``: 0, the breakpoints, and the end."""
        return np.concatenate([[0.0], self.t, [self.reached]])

    def at(self, t: ArrayLike) -> Floats:
        """Return the outputs at any t [...] in [0, reached]: [..., m], by interpolation."""
        t = np.asarray(t, dtype=np.float64)
        columns = [np.interp(t, self.knots, column) for column in self.outputs.T]
        return np.stack(columns, axis=-1)


def trace_line(
    module: nn.Module | Graph,
    start: ArrayLike | torch.Tensor,
    end: ArrayLike | torch.Tensor,
    *,
    max_breakpoints: int | None = None,
    memory: float = 512,
    device: str | torch.device | None = None,
    progress: Progress | None = None,
) -> LineTrace:
    """Find every point of a segment where a unit of a network changes state, in float64.

    Parameters
    ----------
    module
        In evaluation mode; see `read_graph` for what it may consist of. It is not changed.
        Or a graph that `read_graph` returned, so that many lines share one reading.
    start, end
        [...] one input each, without batch dimension, in the units that the module takes.
    max_breakpoints
        Stop with an error when there are more.
    memory
        Mebibytes that the values at the points of one pass may fill; the line is divided
        so that they fit, four points at the least.
    device
        Where to compute; None is the module's own.
    progress
        Called with (done, total, what) as the trace moves along the line.

    Returns
    -------
    LineTrace
        Exact up to rounding: at a breakpoint the unit's number is its threshold (or two
        inputs of a pooling window are equal and the largest) to 1e-13 of the unit's scale, the
        moduli that its number is the sum of. So a line must not be so long that all that
        happens takes place within 1e-13 of the numbers at its ends. Units whose number is
        zero on a whole stretch count as below; a change of a pooling window's winner through
        a tie (as when all its inputs are zero after a ReLU) is the ReLU's breakpoint, and not
        the window's.

    Raises
    ------
    InputError
        (a ValueError) for points of different shapes, not finite, or equal.
    ConfigurationError
        (a ValueError) for a layer that is not piecewise linear, named in the message; where
        numbers overflow; for a limit below 0.
    TraceLimitError
        (a ConfigurationError) beyond ``max_breakpoints``; its ``trace`` ends at ``reached``.

    Notes
    -----
    Time grows with breakpoints times the layers that come after theirs: each breakpoint is
    evaluated once from its layer on, in float64.

    Examples
    --------
    >>> from torch import nn
    >>> network = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1)).double()
    >>> with torch.no_grad():
    ...     _ = network[0].weight.copy_(torch.tensor([[1.0], [-2.0]]))
    ...     _ = network[0].bias.copy_(torch.tensor([-0.25, 1.0]))
    >>> trace = trace_line(network, [0.0], [1.0])
    >>> trace.t.tolist(), trace.unit.tolist(), trace.crossings
    ([0.25, 0.5], [0, 1], {'1': 2})
    """
    require_limit(max_breakpoints, "max_breakpoints")
    a, b = two_points(start, end)
    graph = place_graph(module, a.shape, device)
    line = _Line(graph, float(np.linalg.norm(b - a)), max_breakpoints, progress)
    with torch.inference_mode():
        ends = torch.from_numpy(np.stack([a, b])).to(graph.device)
        near = tolerances(graph, torch.lerp(ends[:1], ends[1:], _probes(ends)))
        sweep = Sweep(graph, near, points_per_pass(graph, memory), line.finished)
        line.sweep = sweep
        sweep.run(torch.tensor([0.0, 1.0], dtype=torch.float64, device=ends.device), {0: ends})
    return line.trace()


def _probes(ends: torch.Tensor) -> torch.Tensor:
    """Return the places t at which a line is looked at to know the scale of its numbers."""
    places = torch.linspace(0, 1, PROBES, dtype=ends.dtype, device=ends.device)
    return places.view(-1, *[1] * (ends.ndim - 1))


class _Line:
    """Collects what a sweep finds."""

    sweep: Sweep

    def __init__(
        self, graph: Graph, length: float, limit: int | None, progress: Progress | None
    ) -> None:
        self._graph, self._length, self._limit, self._progress = graph, length, limit, progress
        self._t: list[Floats] = []
        self._outputs: list[Floats] = []
        self._count, self._noted = 0, 0
        self._ahead = torch.zeros(0, dtype=torch.float64, device=graph.device)

    def finished(self, t: torch.Tensor, outputs: torch.Tensor) -> None:
        """Keep a part's outputs; parts come in order and share a point with the last."""
        skip = 1 if self._t else 0
        self._t.append(t[skip:].cpu().numpy())
        self._outputs.append(outputs[skip:].reshape(len(t) - skip, -1).cpu().numpy())
        reached = float(t[-1])
        self._count_until(reached)
        if self._progress:
            self._progress(int(_STEPS * reached), _STEPS, f"{self._count} breakpoints")
        if self._limit is not None and self._count > self._limit:
            where = "on the line" if reached == 1 else f"in the first {reached:.3g} of the line"
            raise TraceLimitError(
                f"expected at most {self._limit} breakpoints, got {self._count} {where}; allow "
                "more, or take a shorter line",
                self.trace(),
            )

    def _count_until(self, reached: float) -> None:
        """Count the breakpoints, each once: early layers have noted some that lie ahead."""
        new = [event[0] for event in self.sweep.events[self._noted :]]
        self._noted += len(new)
        ahead = torch.cat([self._ahead, *new])
        self._count += int((ahead <= reached).sum())
        self._ahead = ahead[ahead > reached]

    def trace(self) -> LineTrace:
        """Put the parts together."""
        stored, outputs = np.concatenate(self._t), np.concatenate(self._outputs)
        t, layer, unit, threshold = self._events()
        reached = float(stored[-1])
        order = np.lexsort((layer, t))
        order = order[t[order] <= reached]
        t, layer, unit, threshold = t[order], layer[order], unit[order], threshold[order]
        layers = self._graph.layers
        names = np.array([step.name for step in layers], dtype=np.str_)
        counts = np.bincount(layer, minlength=len(layers))
        rows = np.concatenate([[0], np.searchsorted(stored, t), [len(stored) - 1]])
        return LineTrace(
            t=t,
            layer=names[layer],
            unit=unit,
            threshold=threshold,
            crossings=dict(zip(names.tolist(), counts.tolist(), strict=True)),
            outputs=outputs[rows],
            shapes={step.name: step.shape for step in layers},
            length=self._length,
            left_off=self._graph.left_off,
            reached=reached,
        )

    def _events(self) -> tuple[Floats, Ints, Ints, Ints]:
        """Return t, layer, unit and threshold of all state changes found, [E] each."""
        nothing = np.zeros(0, dtype=np.int64)
        found = [(np.zeros(0), nothing, nothing, nothing)]  # a network may have no layer at all
        for t, number, unit, threshold in self.sweep.events:
            place = np.full(len(t), number)
            found.append((t.cpu().numpy(), place, unit.cpu().numpy(), threshold.cpu().numpy()))
        times, layers, units, thresholds = map(np.concatenate, zip(*found, strict=True))
        return times, layers, units, thresholds
