"""How a module runs while it is read: in float64 throughout, each input by itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from typing_extensions import override

from bandlimiter.geometry.graph import vocabulary as known
from bandlimiter.tensors import as_written


@contextmanager
def exact_and_apart() -> Iterator[None]:
    """Run everything in float64, and Linear layers on sequences without folding the batch.

    TorchScript runs operation by operation, as it is written.
    """
    with as_written(), _Precise(), _Apart():  # type: ignore[no-untyped-call]
        yield


class _Precise(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Casts to any floating type are casts to float64."""

    @override
    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func in known.CASTS and getattr(kwargs.get("dtype"), "is_floating_point", False):
            kwargs["dtype"] = torch.float64
        return func(*args, **kwargs)


class _Apart(TorchFunctionMode):
    """PyTorch multiplies [N, L, in] as [N L, in], where inputs cannot be told apart any more."""

    @override
    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return (_linear if func is F.linear else func)(*args, **(kwargs or {}))


def _linear(
    input: torch.Tensor,  # noqa: A002  (as PyTorch calls it)
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
) -> torch.Tensor:
    if input.ndim < 3:
        return F.linear(input, weight, bias)
    places = F.conv1d(input.flatten(1, -2).mT, weight[..., None], bias)  # [N, out, L]
    return places.mT.reshape(*input.shape[:-1], len(weight))
