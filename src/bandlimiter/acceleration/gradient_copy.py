"""A fast copy of a classifier with a gradient: for searches whose finds the model itself judges."""

from typing import Self

import torch
from torch import nn
from typing_extensions import override

from bandlimiter.acceleration.inference_copy import InferenceCopy
from bandlimiter.tensors import find_logits


class GradientCopy(nn.Module):
    """An inference copy's network with a gradient by x; its weights have none.

    Convolutions and linear layers compute in the copy's format, forward and backward; logits come
    in float32, so that losses are taken in it.

    Parameters
    ----------
    copy
        From `accelerate`; its network is shared, not compiled.
    """

    fills_large_passes = True
    """See `InferenceCopy`."""

    keeps_graphs = True
    """What a backward pass needs is kept where all points of an average are one pass."""

    def __init__(self, copy: InferenceCopy) -> None:
        super().__init__()
        self.network = copy.network
        self.dtype = copy.dtype
        self.training = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute logits: [N, ...] float32 pixels -> [N, classes] float32."""
        half = self.dtype != torch.float32
        with torch.autocast(x.device.type, self.dtype if half else None, enabled=half):
            return find_logits(self.network(x.float())).float()

    @override
    def train(self, mode: bool = True) -> Self:
        """Change nothing: the copy is always in eval mode."""
        return self
