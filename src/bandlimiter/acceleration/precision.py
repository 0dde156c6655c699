"""Which number format pays on this device, and which part of a network stays out of it."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from typing_extensions import override

from bandlimiter.acceleration.folding import replace
from bandlimiter.errors import ConfigurationError
from bandlimiter.tensors import logits_of

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}

# Names in torch.cpu.get_capabilities(). Without such instructions bfloat16 is emulated, and slower
# than float32.
_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16")


def resolve_dtypes(dtype: str | torch.dtype, device: torch.device) -> list[torch.dtype]:
    """Return the formats to try, the fastest first.

    Raises
    ------
    ConfigurationError
        For another dtype than auto, float32, bfloat16.
    """
    if dtype == "auto":
        fast = [torch.bfloat16] if has_bfloat16(device) else []
        return [*fast, torch.float32]
    known = DTYPES.get(dtype) if isinstance(dtype, str) else dtype
    if known is None or known not in DTYPES.values():
        raise ConfigurationError(f"expected dtype auto, float32 or bfloat16; got {dtype!r}")
    return [known]


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16 itself, rather than emulates it."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = getattr(torch.cpu, "get_capabilities", None)  # newer than our oldest torch
    if capabilities is None:
        return False
    found = capabilities()
    return any(bool(found.get(name)) for name in _INSTRUCTIONS)


@contextmanager
def computing_in(dtype: torch.dtype, device: torch.device) -> Iterator[None]:
    """Compute without autograd, in bfloat16 where ``dtype`` says so, whatever the caller's modes.

    Compiled code depends on these modes, and parameters made in inference mode never leave it.
    """
    half = dtype == torch.bfloat16
    with (
        torch.inference_mode(False),
        torch.no_grad(),
        torch.autocast(device.type, torch.bfloat16, enabled=half),
    ):
        yield


class Float32Linear(nn.Linear):
    """A linear layer that computes in float32 under autocast as well."""

    @override
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.float())


def keep_last_linear(network: nn.Module, images: torch.Tensor) -> None:
    """Let the linear layer whose output is the logits compute in float32, in place.

    bfloat16 has 8 bits, so logits of 10 would be rounded by up to 0.03. A network that ends
    otherwise is left alone.

    Parameters
    ----------
    network
        Float32, eval mode.
    images
        [N, ...] float32 pixels, a few.
    """
    made: list[tuple[nn.Module, torch.Tensor]] = []

    def after(module: nn.Module, args: object, output: torch.Tensor) -> None:
        made.append((module, output))

    handles = [m.register_forward_hook(after) for m in network.modules() if type(m) is nn.Linear]
    try:
        with torch.no_grad():
            logits = logits_of(network(images.clone()))
    except Exception:  # noqa: BLE001 (the copy fails alike, and is told of, where it is checked)
        return
    finally:
        for handle in handles:
            handle.remove()
    last = [module for module, output in made if output is logits]
    if len(last) == 1 and not last[0]._forward_hooks and not last[0]._forward_pre_hooks:
        replace(network, last[0], _in_float32(last[0]))


def _in_float32(layer: nn.Module) -> Float32Linear:
    linear = Float32Linear(1, 1, bias=False, device="meta")
    linear.__dict__.update(layer.__dict__)  # the very parameters, names and flags
    return linear
