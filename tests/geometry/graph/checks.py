"""What must be true of a graph: it is the module, and its affine steps know their linear part."""

import torch
from torch import nn

from bandlimiter.geometry.graph import AffineStep, Graph, read_graph


class Written(nn.Module):
    """A forward of one's own, without layers: ``body(x)``."""

    def __init__(self, body) -> None:
        super().__init__()
        self.body = body

    def forward(self, x):
        return self.body(x)


def randomised(module: nn.Module, seed: int = 0) -> nn.Module:
    """In float64 and evaluation mode, with statistics of BatchNorm that do something."""
    generator = torch.Generator().manual_seed(seed)

    def draw(like: torch.Tensor) -> torch.Tensor:
        return torch.randn(like.shape, generator=generator, dtype=torch.float64)

    module.double().eval()
    with torch.no_grad():
        for layer in module.modules():
            if getattr(layer, "running_mean", None) is not None:
                layer.running_mean.copy_(draw(layer.running_mean) / 4)
                layer.running_var.copy_((draw(layer.running_var) / 4).exp())
            if getattr(layer, "running_mean", None) is not None and layer.affine:
                layer.weight.copy_(1 + draw(layer.weight) / 4)
                layer.bias.copy_(draw(layer.bias) / 4)
    return module


def inputs(count: int, shape: tuple[int, ...], seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, *shape, generator=generator, dtype=torch.float64)


def is_read(module: nn.Module, shape: tuple[int, ...]) -> Graph:
    """The graph of a module is the module, for any number of inputs."""
    randomised(module)
    graph = read_graph(module, shape)
    assert graph.left_off is None
    with torch.no_grad():
        for count in (1, 2, 5):
            x = inputs(count, shape)
            # Modules may change their input in place.
            close(graph(x), module(x.clone()))
        is_affine_where_it_says(graph, inputs(3, shape))
    return graph


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    """Within 1e-12 of the largest: sums of some thousand terms, in another order of summation."""
    assert found.shape == expected.shape
    scale = float(expected.detach().abs().max())
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12 * scale)


def is_affine_where_it_says(graph: Graph, x: torch.Tensor) -> None:
    """call(x + d) - call(x) = call.linear(d), with all sources moved at once; no more bends.

    And |call(x)| <= call.absolute(|x|), the size of what it adds up.
    """
    registers = {0: x}
    for step in graph.steps:
        registers[step.target] = value = step.apply(registers)
        assert value.shape == (len(x), *graph.shapes[step.target])
        if not isinstance(step, AffineStep):
            continue
        at = [registers[source] for source in step.sources]
        # Equal where nothing cancels, but for the rounding of both.
        bound = step.call.absolute(*(part.abs() for part in at))
        assert (value.abs() <= (1 + 1e-12) * bound).all(), step.name
        moves = [inputs(len(x), part.shape[1:], 2 + n) for n, part in enumerate(at)]
        moved = step.call(*(part + move for part, move in zip(at, moves, strict=True)))
        # The difference cancels: rounding is relative to what is subtracted.
        scale = max(1.0, float(value.abs().max()), float(moved.abs().max()))
        found = step.call.linear(*moves)
        torch.testing.assert_close(found, moved - value, rtol=0, atol=1e-12 * scale)
