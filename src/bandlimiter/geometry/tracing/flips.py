"""Which units differ between two points: cheap, and a lower bound of what a line crosses."""

import torch
from numpy.typing import ArrayLike
from torch import nn

from bandlimiter.errors import InputError
from bandlimiter.geometry.graph import AffineStep, BendStep, Graph, MaxStep
from bandlimiter.geometry.tracing.inputs import place_graph, points_per_pass
from bandlimiter.geometry.tracing.rounding import Moduli
from bandlimiter.tensors import as_float64


def count_flips(
    module: nn.Module | Graph,
    a: ArrayLike | torch.Tensor,
    b: ArrayLike | torch.Tensor,
    *,
    memory: float = 512,
    device: str | torch.device | None = None,
) -> dict[str, torch.Tensor]:
    """Count the units whose state differs between pairs of points, layer by layer.

    Parameters
    ----------
    module
        As for `trace_line`.
    a, b
        [N, ...] inputs; pair i is ``a[i]``, ``b[i]``.
    memory
        Mebibytes for the values of one pass.
    device
        Where to compute; None is the module's own.

    Returns
    -------
    dict of torch.Tensor
        By the layer's name, first to last: [N] int64 on the CPU. A unit counts once for
        each of its thresholds that is exceeded at one point and not at the other; a pooling
        window counts if no input of it is the largest at both.
        For units with thresholds this is at most the number of times that the segment
        between the points crosses them (`trace_line`), and of equal parity, as long as
        neither point lies on a threshold itself.

    Raises
    ------
    InputError
        (a ValueError) for batches of different shapes, empty, or not finite.
    ConfigurationError
        (a ValueError) for a layer that is not piecewise linear.

    Examples
    --------
    >>> network = nn.Sequential(nn.Linear(2, 3), nn.ReLU()).double()
    >>> _ = nn.init.ones_(network[0].weight), nn.init.zeros_(network[0].bias)
    >>> count_flips(network, torch.ones(1, 2), -torch.ones(1, 2))
    {'1': tensor([3])}
    """
    a, b = (torch.from_numpy(as_float64(x, "the inputs")) for x in (a, b))
    if a.shape != b.shape or a.ndim < 2 or len(a) == 0:
        raise InputError(
            f"expected two batches [N, ...] of one shape, got {tuple(a.shape)} and {tuple(b.shape)}"
        )
    if not (torch.isfinite(a).all() and torch.isfinite(b).all()):
        raise InputError("expected finite inputs, got NaN or infinite numbers")
    graph = place_graph(module, tuple(a.shape[1:]), device)
    a, b = a.to(graph.device), b.to(graph.device)
    size = points_per_pass(graph, memory) // 4  # two points, and the scales of both
    with torch.inference_mode():
        passes = [
            _flips(graph, torch.cat([first, second]))
            for first, second in zip(torch.split(a, size), torch.split(b, size), strict=True)
        ]
    names = [layer.name for layer in graph.layers]
    return dict(zip(names, torch.cat(passes, dim=1), strict=True)) if names else {}


def _flips(graph: Graph, both: torch.Tensor) -> torch.Tensor:
    """Return [layers, N] for pairs whose second points follow all first ones."""
    registers, moduli, counts = {0: both}, Moduli(graph, both), []
    for number, step in enumerate(graph.steps):
        if not isinstance(step, AffineStep):
            counts.append(_differing(step, registers[step.source], moduli.noise(step)))
        registers[step.target] = step.apply(registers)
        moduli.follow(number, step, registers[step.target])
        graph.forget(registers, number)
    return torch.stack(counts).cpu() if counts else both.new_zeros(0, len(both) // 2)


def _differing(
    layer: BendStep | MaxStep, source: torch.Tensor, noise: torch.Tensor
) -> torch.Tensor:
    """Return [N]; what is closer than a trace's tolerance is equal here too."""
    if isinstance(layer, BendStep):
        above = source.flatten(1) - noise
        pairs = [(above > float(h)).chunk(2) for h in layer.activation.thresholds]
        return torch.stack([first != second for first, second in pairs]).sum(dim=(0, 2))
    held = layer.gather(source)
    first, second = (held >= held.amax(dim=2, keepdim=True) - noise[..., None]).chunk(2)
    return (~(first & second).any(dim=2)).sum(dim=1)
