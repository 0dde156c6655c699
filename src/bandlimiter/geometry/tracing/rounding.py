"""How close to a threshold rounding alone can put each unit's number.

A number is a sum, w_1 x_1 + ... + b, and rounding moves it by some parts in 1e16 of the moduli
that are summed, |w_1 x_1| + ... + |b|: that is its scale, whatever is left of it. So what is
zero on paper is known as zero, and units of a small scale are not lost beside large ones.
"""

import torch

from bandlimiter.errors import ConfigurationError
from bandlimiter.geometry.graph import AffineStep, BendStep, Graph, MaxStep
from bandlimiter.geometry.graph.steps import GraphStep, Tensors

NOISE = 1e-13
"""Numbers closer than this to a threshold, relative to their scale, are on it: some hundred
roundings, whose errors a deep network adds up."""

INHERITED = 1 / 64
"""How much of a layer's own scale its results carry on, where they are smaller themselves:
what cancels leaves its rounding behind. Less than a layer adds, so that it dies out."""

_AT_ONCE = 3
"""Points that are looked at together; fixed, so that nothing depends on the memory allowed."""


class Moduli:
    """The scale of every number, beside a walk through a graph.

    Parameters
    ----------
    graph
        In float64.
    x
        [N, ...] what the walk begins with: inputs, or differences of inputs.
    differences
        Whether constants fall away, as they do for differences (derivatives).
    """

    def __init__(self, graph: Graph, x: torch.Tensor, *, differences: bool = False) -> None:
        self._graph, self._differences = graph, differences
        self._registers: Tensors = {0: x.abs()}

    def noise(self, layer: BendStep | MaxStep) -> torch.Tensor:
        """Return how far what the layer reads is off at most: [N, units], or [N, windows]."""
        modulus = self._registers[layer.source]
        if isinstance(layer, MaxStep):
            return NOISE * layer.gather(modulus).amax(dim=2)
        level = 0.0 if self._differences else float(abs(layer.activation.thresholds).max())
        return NOISE * (modulus.flatten(1) + level)

    def follow(self, number: int, step: GraphStep, result: torch.Tensor) -> None:
        """Take a step whose result [N, ...] is known."""
        if isinstance(step, AffineStep):
            call = step.call.linear if self._differences else step.call
            given = (self._registers[source] for source in step.sources)
            self._registers[step.target] = call.absolute(*given)
        else:
            modulus = self._registers[step.source]
            if isinstance(step, MaxStep):
                reach = step.gather(modulus).amax(dim=2).view_as(result)
            else:
                reach = float(abs(step.activation.slopes).max()) * modulus
            self._registers[step.target] = torch.maximum(result.abs(), INHERITED * reach)
        self._graph.forget(self._registers, number)


def tolerances(graph: Graph, points: torch.Tensor) -> list[torch.Tensor]:
    """Return how far from a threshold each unit's number is still on it, layer by layer.

    Parameters
    ----------
    graph
        In float64.
    points
        [P, ...] inputs spread over what will be traced.

    Returns
    -------
    list of torch.Tensor
        [units] for bends, [windows] for maxima: the largest at any of the points.

    Raises
    ------
    ConfigurationError
        (a ValueError) where numbers overflow float64.
    """
    each = [_tolerances(graph, part) for part in torch.split(points, _AT_ONCE)]
    return [torch.cat(layer).amax(dim=0) for layer in zip(*each, strict=True)]


def _tolerances(graph: Graph, points: torch.Tensor) -> list[torch.Tensor]:
    values: Tensors = {0: points}
    moduli = Moduli(graph, _largest(points))
    found = []
    for number, step in enumerate(graph.steps):
        if not isinstance(step, AffineStep):
            found.append(moduli.noise(step))
            _require_finite(found[-1], step.name)
        values[step.target] = step.apply(values)
        moduli.follow(number, step, _largest(values[step.target]))
        graph.forget(values, number)
    _require_finite(values[graph.result], "that gives the output")
    return found


def _largest(values: torch.Tensor) -> torch.Tensor:
    return values.abs().amax(dim=0, keepdim=True)


def _require_finite(numbers: torch.Tensor, layer: str) -> None:
    if not torch.isfinite(numbers).all():
        raise ConfigurationError(
            f"expected numbers that fit float64, got some that overflow in the layer {layer}; "
            "scale the network or the inputs down"
        )
