"""The network's logits at every point, in passes of bounded size, forward and backward."""

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from bandlimiter.defence.neighbourhood import Neighbourhood
from bandlimiter.tensors import ChunkLimit, logits_of, map_chunks


def logits_at_points(
    model: nn.Module, around: Neighbourhood, x: torch.Tensor, limit: ChunkLimit
) -> torch.Tensor:
    """Evaluate ``model`` at all points around the batch ``x``: [N, P, classes].

    For a gradient, only these logits are kept: points and activations are made again,
    pass by pass, on the way back. Its memory is that of one pass, whatever P is. Where
    that does not fit on the way back, PyTorch's error comes through: a pass can be cut
    smaller only on the way forward (give a smaller ``chunk``).

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
        return (logits_of(model(around.points(start, stop))),)

    def recomputed(start: int, stop: int) -> tuple[torch.Tensor]:
        kept: tuple[torch.Tensor] = checkpoint(logits, start, stop, use_reentrant=False)
        return kept

    one_pass = recomputed if torch.is_grad_enabled() else logits
    (flat,) = map_chunks(one_pass, len(x) * around.points_per_input, limit, x)
    flat = flat.to(torch.promote_types(flat.dtype, torch.float32))
    return flat.view(len(x), around.points_per_input, -1)
