"""How close to a threshold rounding alone can put each unit's number."""

import torch

from bandlimiter.geometry.graph import AffineStep, BendStep, Graph
from bandlimiter.geometry.graph.steps import MaxStep, Tensors

NOISE = 1e-13
"""Numbers closer than this to a threshold, relative to the sum of moduli that they are made of,
are on it: some hundred roundings, whose errors a deep network adds up."""

INHERITED = 1 / 64
"""How much of a layer's own scale its results carry on, where they are smaller themselves:
what cancels leaves its rounding behind. Less than a layer adds, so that it dies out."""


def tolerances(graph: Graph, points: torch.Tensor) -> list[torch.Tensor]:
    """Return how far from a threshold each unit's number is still on it, layer by layer.

    Each unit has its own scale: the sum of moduli |w| |x| + |b| that its number is made of, at the
    largest |x| seen at ``points``, back to the layer before. Numbers that are zero on paper, but
    for cancellation, are told so; units of a small scale beside large ones are not lost.

    Parameters
    ----------
    graph
        In float64.
    points
        [P, ...] inputs spread over what will be traced.

    Returns
    -------
    list of torch.Tensor
        [units] for bends, [windows] for maxima.
    """
    values: Tensors = {0: points}
    moduli: Tensors = {0: _largest(points)}
    found = []
    for number, step in enumerate(graph.steps):
        if isinstance(step, AffineStep):
            values[step.target] = step.apply(values)
            moduli[step.target] = step.call.absolute(*(moduli[source] for source in step.sources))
        else:
            scale, reach = _of_layer(step, moduli[step.source])
            found.append(NOISE * scale)
            values[step.target] = step.apply(values)
            seen = _largest(values[step.target])
            moduli[step.target] = torch.maximum(seen, INHERITED * reach)
        graph.forget(values, number)
        graph.forget(moduli, number)
    return found


def _of_layer(step: BendStep | MaxStep, modulus: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the scale of each unit, and what its result can carry on."""
    if isinstance(step, MaxStep):
        scale = step.gather(modulus).amax(dim=2)
        return scale[0], scale.view(1, *step.shape)
    activation = step.activation
    thresholds = float(abs(activation.thresholds).max())
    return modulus.flatten() + thresholds, float(abs(activation.slopes).max()) * modulus


def _largest(values: torch.Tensor) -> torch.Tensor:
    return values.abs().amax(dim=0, keepdim=True)
