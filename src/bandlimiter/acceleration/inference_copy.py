"""The copy that `accelerate` returns: a module from pixels to float32 logits, no gradient."""

from collections.abc import Callable
from typing import Any, Self

import torch
from torch import nn
from typing_extensions import override

from bandlimiter.acceleration.backends import Eager, Runner
from bandlimiter.acceleration.compiling import Compiled
from bandlimiter.acceleration.onnx_session import OnnxSession
from bandlimiter.acceleration.precision import computing_in
from bandlimiter.errors import ConfigurationError, InputError
from bandlimiter.tensors import freeze, place_of, set_training

BACKENDS: dict[str, Callable[[nn.Module], Runner]] = {
    "eager": Eager,
    "compile": Compiled,
    "onnxruntime": OnnxSession,
}


class InferenceCopy(nn.Module):
    """A network that only predicts, run by one of `BACKENDS`.

    ``network`` is the folded float32 network, with its `Normalise` layer; ``state_dict``
    holds its weights. They are frozen: code compiled from them does not notice a change in
    place, `load_state_dict` is noticed and costs the next call a compilation. The copy stays
    where it was made; `train` has no effect. After ``copy.deepcopy`` or pickling it is
    compiled again at the first call. Calls from several threads give the same results.

    Parameters
    ----------
    network
        [N, ...] float32 pixels to what `logits_of` reads, in eval mode; kept.
    dtype
        ``torch.float32``, or ``torch.bfloat16`` for autocast around the float32 network.
    backend
        A key of `BACKENDS`.
    """

    fills_large_passes = True
    """On a CPU, where a network that is not compiled is fastest with few inputs per pass."""

    def __init__(self, network: nn.Module, dtype: torch.dtype, backend: str) -> None:
        super().__init__()
        set_training(network, False)
        freeze(network)
        self.network = network
        self.dtype = dtype
        self.backend = backend
        self.training = False
        self._device = place_of(network)[0]
        self._runner: Runner | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute logits: [N, ...] floating point pixels, N >= 1 -> [N, classes] float32.

        Raises
        ------
        InputError
            (a ValueError) where a gradient with respect to x is expected, for an empty batch,
            an integer dtype or another device. Values are not looked at, as on a GPU that
            waits for them; `PostAverage` does so once for many passes.
        """
        if torch.is_grad_enabled() and x.requires_grad:
            raise InputError(
                "expected inputs without requires_grad, as this is an inference copy and has no "
                "gradient: attack the model that it was made from, or predict under torch.no_grad()"
            )
        if x.ndim < 2 or len(x) == 0 or not x.is_floating_point():
            raise InputError(
                f"expected a batch [N, ...] of floating point inputs, got {x.dtype} of shape "
                f"{tuple(x.shape)}"
            )
        if x.device != self._device:
            raise InputError(
                f"expected inputs on {self._device}, where this copy was made, got {x.device}"
            )
        with computing_in(self.dtype, self._device):
            if self._runner is None:
                self._runner = BACKENDS[self.backend](self.network)
            return self._runner(_plain(x)).float()

    def prepare(self, x: torch.Tensor) -> None:
        """Compile or export for inputs like ``x``: [N, ...], rather than at the first call.

        Raises
        ------
        UnavailableError
            (a ConfigurationError) where the backend cannot run this network.
        """
        with computing_in(self.dtype, self._device):
            runner = BACKENDS[self.backend](self.network)
            runner.prepare(_plain(x))
            self._runner = runner

    @override
    def train(self, mode: bool = True) -> Self:
        """Change nothing: the copy is always in eval mode."""
        return self

    @override
    def extra_repr(self) -> str:
        return f"backend={self.backend}, dtype={self.dtype}, device={self._device}"

    # --- what would pass compiled code by ----------------------------------------------

    @override
    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Self:
        moved = fn(torch.empty(0, dtype=torch.float32, device=self._device))
        if moved.dtype != torch.float32 or moved.device != self._device:
            raise ConfigurationError(
                f"expected the inference copy to stay float32 on {self._device}, got {moved.dtype} "
                f"on {moved.device}; accelerate a model that is there; a sampler that looks at the "
                "network takes the original: PostAverage(copy, sampler=BoundaryDirections(model))"
            )
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    @override
    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self._runner = None  # its code holds the old weights
        super()._load_from_state_dict(*args, **kwargs)

    @override
    def __getstate__(self) -> dict[str, Any]:
        # Compiled code belongs to this very network and process.
        return {**self.__dict__, "_runner": None}


def _plain(x: torch.Tensor) -> torch.Tensor:
    """Return a float32 copy of x that is no view, has the usual strides and no ties to autograd.

    Compiled code is made for one kind of tensor; for any other (a slice of a batch, images
    channels-last, tensors of inference mode) it would be made anew.
    """
    return torch.empty(x.shape, dtype=torch.float32, device=x.device).copy_(x)
