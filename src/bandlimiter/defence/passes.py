"""The network's logits at every point, in passes of bounded size, forward and backward."""

from collections.abc import Callable

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from bandlimiter.defence.neighbourhood import Neighbourhood
from bandlimiter.tensors import (
    ChunkLimit,
    as_written,
    map_chunks,
    model_logits,
    require_no_overflow,
)

# ResNet-20, float32, two cores: 2,260 evaluations a second of `certify` at 32 per pass, 2,050 at 64
# and 1,630 at 128.
_EAGER_PASS = 32


def full_pass_size(model: nn.Module, x: torch.Tensor, limit: ChunkLimit) -> int:
    """Return how many inputs like those of x [N, ...] a model takes at once in full passes."""
    size = limit.resolve(x)
    eager = x.device.type == "cpu" and not getattr(model, "fills_large_passes", False)
    return min(size, _EAGER_PASS) if eager and limit.size == "auto" else size


def require_full_pass(model: nn.Module, x: torch.Tensor, limit: ChunkLimit) -> None:
    """Refuse (InputError) a model that takes fewer at once, and one alone; may halve the limit."""
    many = x[:1].expand(full_pass_size(model, x, limit), *x.shape[1:])
    map_chunks(
        lambda start, stop: (model_logits(model, many[start:stop], check=False),),
        len(many),
        limit,
        x,
    )


def logits_at_points(
    model: nn.Module, around: Neighbourhood, x: torch.Tensor, limit: ChunkLimit
) -> torch.Tensor:
    """Evaluate ``model`` at all points around the batch ``x``: [N, P, classes].

    For a gradient, only these logits are kept: points and activations are made again,
    pass by pass, on the way back (unless all is one pass of a `GradientCopy`). Its memory is
    that of one pass, whatever P is. Where that does not fit on the way back, PyTorch's error
    comes through: a pass can be cut smaller only on the way forward (give a smaller
    ``chunk``).

    Returns
    -------
    torch.Tensor
        In the model's dtype, float32 at least.

    Raises
    ------
    InputError
        Where a logit is NaN or +inf.
    """

    def logits(start: int, stop: int) -> tuple[torch.Tensor]:
        return (model_logits(model, around.points(start, stop), check=False),)

    def logits_as_written(start: int, stop: int) -> tuple[torch.Tensor]:
        with as_written():  # or else TorchScript's second run keeps other tensors than its first
            return logits(start, stop)

    def recomputed(start: int, stop: int) -> tuple[torch.Tensor]:
        # Stopping early is an exception, which TorchScript takes for an error.
        kept: tuple[torch.Tensor] = checkpoint(
            logits_as_written, start, stop, use_reentrant=False, early_stop=False
        )
        return kept

    count = len(x) * around.points_per_input
    kept = getattr(model, "keeps_graphs", False) and count <= limit.resolve(x)
    one_pass = recomputed if torch.is_grad_enabled() and not kept else logits
    (flat,) = map_chunks(one_pass, count, limit, x)
    require_no_overflow(flat)  # once for all passes: on a GPU, looking waits
    flat = flat.to(torch.promote_types(flat.dtype, torch.float32))
    return flat.view(len(x), around.points_per_input, -1)


def scores_in_order(
    model: nn.Module,
    around: Neighbourhood,
    order: torch.Tensor,
    score: Callable[[torch.Tensor], torch.Tensor],
    x: torch.Tensor,
    limit: ChunkLimit,
) -> Callable[[torch.Tensor, int, int], torch.Tensor]:
    """Return what evaluates some inputs at a part of their points, in full passes.

    Passes have one of a few sizes, to which they are filled up by repeating a point: a
    backend keeps code and buffers for every size that it meets (oneDNN 6 MiB each for a
    ResNet-20), and rounds would bring it all of them.

    Parameters
    ----------
    order
        [1, P] int64, the order of the points for all inputs, or [N, P], one for each.
    score
        Maps logits [B, classes] to scores [B, classes].

    Returns
    -------
    callable
        (rows [U], start, stop) -> [U, stop - start, classes], the scores of the inputs
        numbered in ``rows`` at the points that come ``start``-th to (``stop - 1``)-th.
        Raises InputError where a logit is NaN or +inf.
    """

    def scores(rows: torch.Tensor, start: int, stop: int) -> torch.Tensor:
        each = stop - start

        def one_pass(first: int, last: int) -> tuple[torch.Tensor]:
            size = _padded(last - first, limit.resolve(x))
            number = torch.arange(first, first + size, device=x.device).clamp(max=last - 1)
            owner = rows[number // each]
            drawn_for = owner if len(order) > 1 else torch.zeros_like(owner)
            point = order[drawn_for, start + number % each]
            return (model_logits(model, around.at(owner, point), check=False)[: last - first],)

        (logits,) = map_chunks(one_pass, len(rows) * each, limit, x)
        require_no_overflow(logits)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        return score(logits).view(len(rows), each, -1)

    return scores


def _padded(count: int, limit: int) -> int:
    """Return the next of 1, 2, 3, 4, 6, 8, 12, 16, ... (2^k and 3 * 2^k), up to ``limit``."""
    power = 1 << (count - 1).bit_length()
    return min(power * 3 // 4 if count <= power * 3 // 4 else power, limit)
