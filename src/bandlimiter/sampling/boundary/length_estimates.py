"""Lengths of gradients and of weights, estimated for all units of a network at once.

What a linear map makes of normal random vectors has a mean square of the squared length of
the map's rows. So a few vectors carried through a network once do for all of its units.
"""

from collections.abc import Iterable

import torch

from bandlimiter.geometry.activation import Activation
from bandlimiter.geometry.graph import AffineStep, BendStep, Graph, MaxStep
from bandlimiter.tensors import ChunkLimit, Key, generator, map_chunks

# Estimates are right to 1 / sqrt(2 * number of vectors). Of units that are ranked by 8, one
# of the 15 closest falls behind 256 others about once in 10^9 times: the length of its
# gradient would have to be estimated at a tenth of what it is.
_FOR_GRADIENTS = 8
_FOR_WEIGHTS = 64


def gaps_and_lengths(
    graph: Graph, x: torch.Tensor, scale: torch.Tensor, limit: ChunkLimit
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return each unit's gap, exactly, and the length of its gradient, to a quarter.

    Parameters
    ----------
    graph
        The network.
    x
        [1, *shape] one input.
    scale
        Turns offsets of the space in which lengths are stated into x's.
    limit
        Bounds the vectors of one pass.

    Returns
    -------
    gaps
        [U] pre-activation minus the nearest threshold, units in order of evaluation.
    lengths
        [U] float64; zero where the gradient is.
    """

    def one_pass(start: int, stop: int) -> tuple[torch.Tensor, torch.Tensor]:
        values = {0: x}
        moves = {0: (_normal("gradients", range(start, stop), x) * scale).to(x.dtype)}
        gaps, squares = [], []
        for number, step in enumerate(graph.steps):
            if isinstance(step, AffineStep):
                moves[step.target] = step.call.linear(*(moves[source] for source in step.sources))
            elif isinstance(step, BendStep):
                value, move = values[step.source], moves[step.source]
                gaps.append(gap(value.flatten(1), step.activation))
                squares.append(_square(move))
                moves[step.target] = _slope(value, step.activation) * move
            else:
                moves[step.target] = _of_largest(step, values[step.source], moves[step.source])
            values[step.target] = step.apply(values)
            graph.forget(values, number)
            graph.forget(moves, number)
        return torch.cat(gaps, dim=1), torch.cat(squares, dim=1)

    gaps, squares = map_chunks(one_pass, _FOR_GRADIENTS, limit, x)
    return gaps[0], (squares.sum(dim=0) / _FOR_GRADIENTS).sqrt()


def incoming_norms(
    graph: Graph, x: torch.Tensor, scale: torch.Tensor, limit: ChunkLimit
) -> torch.Tensor:
    """Return the length of each unit's incoming weights, to 9 percent: [U] float64.

    The weights are those of the affine map to the pre-activation from the results of earlier
    bends and maxima and from the input, in the space of ``scale``, whatever convolutions,
    normalisations and sums it is made of. Parameters as for `gaps_and_lengths`; of x, only
    shape, device and dtype matter.
    """

    def one_pass(start: int, stop: int) -> tuple[torch.Tensor]:
        numbers = range(start, stop)
        registers = {0: (_normal("input", numbers, x) * scale).to(x.dtype)}
        squares = []
        for number, step in enumerate(graph.steps):
            if isinstance(step, AffineStep):
                sources = (registers[source] for source in step.sources)
                registers[step.target] = step.call.linear(*sources)
            else:
                if isinstance(step, BendStep):
                    squares.append(_square(registers[step.source]))
                like = x.new_empty(1, *step.shape)
                registers[step.target] = _normal(step.target, numbers, like)
            graph.forget(registers, number)
        return (torch.cat(squares, dim=1),)

    (squares,) = map_chunks(one_pass, _FOR_WEIGHTS, limit, x)
    return (squares.sum(dim=0) / _FOR_WEIGHTS).sqrt()


def gap(g: torch.Tensor, activation: Activation) -> torch.Tensor:
    """Return g minus the nearest threshold; the lower one in the middle between two."""
    gaps = g[..., None] - torch.from_numpy(activation.thresholds).to(g)
    nearest = gaps.detach().abs().argmin(dim=-1, keepdim=True)
    return gaps.gather(-1, nearest)[..., 0]


def _slope(g: torch.Tensor, activation: Activation) -> torch.Tensor:
    piece = (g[..., None] > torch.from_numpy(activation.thresholds).to(g)).sum(dim=-1)
    return torch.from_numpy(activation.slopes).to(g)[piece]


def _of_largest(step: MaxStep, values: torch.Tensor, moves: torch.Tensor) -> torch.Tensor:
    """Return the moves of the largest value in each window, the same for all vectors."""
    winner = step.gather(values).argmax(dim=2, keepdim=True)
    held = step.gather(moves)
    return held.gather(2, winner.expand(len(held), -1, 1)).view(-1, *step.shape)


def _square(moves: torch.Tensor) -> torch.Tensor:
    """Return each unit's square, summed over vectors: [N, ...] -> [1, units]."""
    return moves.flatten(1).double().square().sum(dim=0, keepdim=True)


def _normal(purpose: Key, numbers: Iterable[int], like: torch.Tensor) -> torch.Tensor:
    """Draw normal vectors, each from a stream of its own, so that passes change nothing."""
    draws = [
        torch.randn(like.shape[1:], generator=generator(0, "estimate", purpose, number))
        for number in numbers
    ]
    return torch.stack(draws).to(like)
