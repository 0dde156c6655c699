"""From a module's graph to matrices: `read_network`, for networks small enough."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bandlimiter.errors import ConfigurationError
from bandlimiter.geometry.graph import AffineStep, Graph, MaxStep, read_graph, stated_width
from bandlimiter.geometry.network import Affine, Bend, PiecewiseLinear, Step, Sum

Array = NDArray[np.float64]

_MOST_NUMBERS = 2**27
"""In one layer's matrix: a gibibyte. A network that needs more is not small."""


def read_network(module: nn.Module | PiecewiseLinear, dim: int | None = None) -> PiecewiseLinear:
    """Read a network of points [N, n] as affine pieces in float64.

    Parameters
    ----------
    module
        In evaluation mode; made of what `geometry.read_graph` knows, without max-pooling.
        Convolutions become matrices. It is not changed; its weights are read to the CPU.
    dim
        n, for a network in which no layer states it.

    Returns
    -------
    PiecewiseLinear
        The same function. Layers are numbered in the order of evaluation.

    Raises
    ------
    ConfigurationError
        (a ValueError) for any other layer, named in the message; for one in training mode;
        for weights that are NaN or infinite; for widths that do not fit.
    """
    if isinstance(module, PiecewiseLinear):
        return module
    width = stated_width(module) or dim
    if width is None:
        raise ConfigurationError(
            "expected a network in which at least one Linear layer runs, found none; say how many "
            "inputs it has"
        )
    graph = read_graph(module, (width,))
    if graph.left_off is not None:
        raise ConfigurationError(
            f"expected a piecewise linear network, got a Softmax at its end (layer "
            f"{graph.left_off}); leave it off"
        )
    return _Matrices(graph).network


class _Matrices:
    """Turns a graph's steps into matrices; what moves nothing costs no step."""

    def __init__(self, graph: Graph) -> None:
        self._widths = {r: torch.Size(shape).numel() for r, shape in graph.shapes.items()}
        self._shapes = graph.shapes
        self._steps: list[Step] = []
        self._same = {0: 0}  # graph's registers -> the network's
        self._bits = self._registers = 0
        for step in graph.steps:
            if isinstance(step, AffineStep):
                self._affine(step)
            elif isinstance(step, MaxStep):
                raise ConfigurationError(
                    f"expected a network whose regions can be enumerated, got max-pooling (layer "
                    f"{step.name}); trace lines or planes through it, or pool by averages"
                )
            else:
                width = self._widths[step.target]
                source, target = self._same[step.source], self._fresh()
                bend = Bend(source, target, step.activation, width, step.name, self._bits)
                self._bits = bend.bits.stop
                self._steps.append(bend)
                self._same[step.target] = target
        outputs, result = self._widths[graph.result], self._same[graph.result]
        self.network = PiecewiseLinear(tuple(self._steps), self._widths[0], outputs, result)

    def _affine(self, step: AffineStep) -> None:
        parts = [self._matrix(step, number) for number in range(len(step.sources))]
        zeros = [torch.zeros(1, *self._shapes[s], dtype=torch.float64) for s in step.sources]
        bias = step.call(*zeros).flatten().numpy().copy()
        terms = [self._same[source] for source in step.sources]
        out = self._widths[step.target]
        for number, weight in enumerate(parts):
            last = number == len(parts) - 1
            if _is_identity(weight) and not (last and bias.any()):
                continue
            here = bias if last else np.zeros(out)
            terms[number] = self._append(Affine(terms[number], self._fresh(), weight, here))
        total = terms[0]
        for term in terms[1:]:
            total = self._append(Sum(total, term, self._fresh()))
        self._same[step.target] = total

    def _matrix(self, step: AffineStep, number: int) -> Array:
        """Return what one source is multiplied by: [out, in], exact."""
        size = self._widths[step.sources[number]]
        if size * self._widths[step.target] > _MOST_NUMBERS:
            raise ConfigurationError(
                f"expected a network small enough for matrices, but the layer {step.name} would "
                f"have one of {self._widths[step.target]} x {size}; trace lines or planes through "
                "it instead"
            )
        columns = [torch.zeros(size, *self._shapes[s], dtype=torch.float64) for s in step.sources]
        columns[number] = torch.eye(size, dtype=torch.float64).view_as(columns[number])
        image = step.call.linear(*columns).flatten(1)
        return np.ascontiguousarray(image.numpy().T)

    def _append(self, step: Affine | Sum) -> int:
        self._steps.append(step)
        return step.target

    def _fresh(self) -> int:
        self._registers += 1
        return self._registers


def _is_identity(weight: Array) -> bool:
    rows, columns = weight.shape
    return rows == columns and bool((weight == np.eye(rows)).all())
