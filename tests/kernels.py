"""A module as it runs on other processors: every sum is off by a few roundings of its terms.

What may be asked of answers is that they are right all the same. Bits are alike only where one
process does the same on the same shape again, with as many threads.
"""

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from bandlimiter.geometry.graph.calls import Call

aten = torch.ops.aten
SUMS = {
    aten.addmm.default,
    aten.mm.default,
    aten.bmm.default,
    aten.mv.default,
    aten.convolution.default,
    aten.native_batch_norm.default,
    aten.mean.dim,
    aten.sum.dim_IntList,
    aten.avg_pool2d.default,
    aten._adaptive_avg_pool2d.default,
    aten.upsample_bilinear2d.default,
}
"""What kernels do in orders of their own. One addition or product is the same on all."""


class Rounding(TorchDispatchMode):
    """Within it, every sum is off by rounding that is drawn anew each time.

    Parameters
    ----------
    roundings
        How many machine epsilons of its terms' moduli a sum is off, at most.
    """

    def __init__(self, roundings: float = 4, seed: int = 0) -> None:
        super().__init__()
        self._roundings, self._rng = roundings, np.random.default_rng(seed)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        sums = result[0] if isinstance(result, tuple) else result
        if func in SUMS and sums.is_floating_point():
            pick = None if sums is result else 0
            with _disable_current_modes():  # whoever watches operations sees none of this
                terms = Call(func, args, kwargs or {}, pick).absolute()
                parts = torch.from_numpy(self._rng.uniform(-1, 1, sums.shape)).to(sums)
                sums += self._roundings * torch.finfo(sums.dtype).eps * parts * terms
        return result


class OtherKernels(nn.Module):
    """Does what ``module`` does, but for `Rounding`; seen from outside as the same operations."""

    def __init__(self, module: nn.Module, roundings: float = 4, seed: int = 0) -> None:
        super().__init__()
        self.module, self._rounding = module, Rounding(roundings, seed)

    def forward(self, x):
        with self._rounding:
            return self.module(x)
