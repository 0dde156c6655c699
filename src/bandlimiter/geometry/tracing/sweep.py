"""Cuts a line layer by layer into the pieces on which the network is affine.

The method is that of "exact lines" (Sotoudeh and Thakur, "Computing linear restrictions of
neural networks", 2019), with bounded memory: whenever there are more points than fit, the
line is divided, and each part goes through the remaining layers before the next one starts.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import torch

from bandlimiter.geometry.graph import AffineStep, BendStep, Graph, MaxStep
from bandlimiter.geometry.graph.steps import Tensors
from bandlimiter.geometry.tracing.crossings import Crossings, changed_units, crossings_of

Layer = BendStep | MaxStep


@dataclass(frozen=True)
class Part:
    """Stored points, written as places between the points that were stored before.

    Point i lies ``weight[i]`` of the way from the earlier point ``left[i]`` to the next.
    """

    left: torch.Tensor
    weight: torch.Tensor

    def of(self, values: torch.Tensor) -> torch.Tensor:
        """Interpolate values [P, ...] at the points; at weight 0 they are kept as they are."""
        found = values.index_select(0, self.left)
        (new,) = self.weight.nonzero(as_tuple=True)
        weight = self.weight[new].view(-1, *[1] * (values.ndim - 1))
        left = self.left[new]
        between = torch.lerp(values.index_select(0, left), values.index_select(0, left + 1), weight)
        return found.index_copy_(0, new, between)


class Sweep:
    """One pass along a line.

    Parameters
    ----------
    graph
        On any device, in float64.
    tolerances
        For each layer, [units]: how close to a threshold a number is on it.
    most_points
        How many points go through the network together, at least 3.
    finished
        Called with (t, outputs) when a part is through; parts come in order.
    """

    def __init__(
        self,
        graph: Graph,
        tolerances: list[torch.Tensor],
        most_points: int,
        finished: Callable[[torch.Tensor, torch.Tensor], None],
    ) -> None:
        self._graph = graph
        self._number = {layer.target: number for number, layer in enumerate(graph.layers)}
        self._tolerances = tolerances
        self._most_points = most_points
        self._finished = finished
        self._last_states: dict[int, torch.Tensor] = {}
        self.events: list[tuple[torch.Tensor, int, torch.Tensor, torch.Tensor]] = []
        """(t, layer, unit, threshold) of all state changes found so far."""

    def run(self, t: torch.Tensor, registers: Tensors, first_step: int = 0) -> None:
        """Take stored points t [P] and what is known there through the steps left."""
        for number, step in enumerate(self._graph.steps[first_step:], start=first_step):
            if isinstance(step, AffineStep):
                registers[step.target] = step.apply(registers)
                self._graph.forget(registers, number)
                continue
            found = crossings_of(step, registers[step.source], self._tolerance(step))
            self._note(step, t, found)
            parts = self._parts(len(t), found)
            for part in parts:
                values = {register: part.of(value) for register, value in registers.items()}
                values[step.target] = step.apply(values)
                self._graph.forget(values, number)
                if len(parts) > 1:
                    self.run(part.of(t), values, number + 1)
            if len(parts) > 1:
                return
            t, registers = parts[0].of(t), values
        self._finished(t, registers[self._graph.result])

    def _tolerance(self, layer: Layer) -> torch.Tensor:
        return self._tolerances[self._number[layer.target]]

    def _note(self, layer: Layer, t: torch.Tensor, found: Crossings) -> None:
        """Keep the layer's state changes, also those between this part and the last one."""
        number = self._number[layer.target]
        inside = Part(found.piece, found.weight).of(t)
        self.events.append((inside, number, found.unit, found.threshold))
        self.events.append((t[found.point], number, found.point_unit, found.point_threshold))
        if number in self._last_states:
            unit, threshold = changed_units(layer, self._last_states[number], found.first).T
            self.events.append((t[:1].expand(len(unit)), number, unit, threshold))
        self._last_states[number] = found.last

    def _parts(self, points: int, found: Crossings) -> list[Part]:
        """Return the points with new ones where states change, in parts that fit.

        No point is there twice, but that neighbouring parts share one.
        """
        stored = torch.arange(points, device=found.piece.device)
        left = torch.cat([stored, found.piece])
        weight = torch.cat([found.weight.new_zeros(points), found.weight])
        order = left.argsort(stable=True)  # the crossings of a piece are in order already
        left, weight = left[order], weight[order]
        new = torch.ones_like(left, dtype=torch.bool)
        new[1:] = (left.diff() != 0) | (weight.diff() != 0)
        left, weight = left[new], weight[new]
        pieces = len(left) - 1
        count = -(-pieces // (self._most_points - 1))
        bounds = [pieces * number // count for number in range(count + 1)]
        return [Part(left[a : b + 1], weight[a : b + 1]) for a, b in itertools.pairwise(bounds)]
