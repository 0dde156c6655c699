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


class OtherKernels(nn.Module):
    """Does what ``module`` does, but for rounding that is drawn anew at each call.

    Parameters
    ----------
    module
        It is run as it is, and seen from outside as the same operations.
    roundings
        How many machine epsilons of its terms' moduli a sum is off, at most.
    """

    def __init__(self, module: nn.Module, roundings: float = 4, seed: int = 0) -> None:
        super().__init__()
        self.module = module
        self._roundings, self._rng = roundings, np.random.default_rng(seed)

    def forward(self, x):
        with _Rounding(self._roundings, self._rng):
            return self.module(x)


class _Rounding(TorchDispatchMode):
    def __init__(self, roundings: float, rng: np.random.Generator) -> None:
        super().__init__()
        self._roundings, self._rng = roundings, rng

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in SUMS:
            sums = result if isinstance(result, torch.Tensor) else result[0]
            pick = None if sums is result else 0
            with _disable_current_modes():  # whoever watches operations sees none of this
                terms = Call(func, args, kwargs or {}, pick).absolute()
                parts = torch.from_numpy(self._rng.uniform(-1, 1, sums.shape)).to(sums)
                sums += self._roundings * torch.finfo(sums.dtype).eps * parts * terms
        return result
