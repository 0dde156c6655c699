"""Whether a graph is the module that it was read from, but for rounding.

Two computations of one sum differ by some parts in 1e16 of its terms' moduli, whatever is left
of the sum: for another size of batch, in another order of summation, on another processor. What
that comes to in the answers, only the layers after the sum can tell. So it is tried: every sum
is moved, to both sides, by much more than rounding moves it, and the graph runs on from there.
"""

import torch
from torch import nn

from bandlimiter.geometry.graph.calls import Call
from bandlimiter.geometry.graph.steps import AffineStep, Graph, Tensors
from bandlimiter.tensors import generator

ROUNDING = 1e-12
"""How far sums are moved, relative to what is summed: some thousand roundings, all one way."""

_LEAST = torch.finfo(torch.float64).tiny
"""Numbers below it may be flushed to zero."""

_PAIRS = 4
"""How often sums are moved, each time once to either side: at a kink only one of them shows."""


def agrees(graph: Graph, finish: Call | None, module: nn.Module, shape: tuple[int, ...]) -> bool:
    """Compare the graph on several inputs with the module on one of them, a new one, alone.

    Parameters
    ----------
    graph
        On the CPU in float64.
    finish
        The module's softmax, if it ends in one.
    module
        In float64.
    shape
        Of one input.
    """
    x = examples(3, shape)
    try:
        expected = module(x[2:].clone())
        found = graph(x) if finish is None else finish(graph(x))
        near = _movement(graph, finish, x[2:])
    except Exception:  # noqa: BLE001  (what runs on two inputs and on no other number of them)
        return False
    if found.shape != (3, *expected.shape[1:]) or len(expected) != 1:
        return False
    if expected.numel() == 0 or not torch.isfinite(near):
        return True  # sums that overflow are told where they matter
    near = near + ROUNDING * expected.abs().max()  # a softmax rounds as well
    return bool(((found[2:] - expected).abs() <= near).all())


def examples(count: int, shape: tuple[int, ...]) -> torch.Tensor:
    """Return inputs [count, *shape] that are the same each time; more begin with fewer."""
    return torch.randn(count, *shape, generator=generator(0, "read", *shape), dtype=torch.float64)


def _movement(graph: Graph, finish: Call | None, x: torch.Tensor) -> torch.Tensor:
    """Return how far the answers for one input x [1, ...] move, at most, when all sums do."""
    values: Tensors = {0: x.expand(1 + 2 * _PAIRS, *x.shape[1:])}
    for number, step in enumerate(graph.steps):
        value = step.apply(values)
        if isinstance(step, AffineStep):
            terms = step.call.absolute(*(values[source][:1].abs() for source in step.sources))
            value = value + _moves(step.target, value.shape[1:]) * (ROUNDING * terms + _LEAST)
        values[step.target] = value
        graph.forget(values, number)
    answers = values[graph.result] if finish is None else finish(values[graph.result])
    return (answers - answers[:1]).abs().max() if answers.numel() else answers.sum()


def _moves(register: int, shape: torch.Size) -> torch.Tensor:
    """Return none for the first, and then signs and their opposites: [1 + 2 pairs, *shape]."""
    size = (_PAIRS, *shape)
    rng = generator(0, "moves", register)
    signs = torch.randint(2, size, generator=rng).to(torch.float64).mul_(2).sub_(1)
    return torch.cat([torch.zeros(1, *shape, dtype=torch.float64), signs, -signs])
