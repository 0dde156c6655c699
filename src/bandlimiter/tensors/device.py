"""Which device to use, decided once."""

import platform
from itertools import chain
from pathlib import Path

import torch
from torch import nn

from bandlimiter.errors import ConfigurationError


def resolve_device(name: str) -> torch.device:
    """Return the device called ``name``; ``"auto"`` takes CUDA where there is one.

    Raises
    ------
    ConfigurationError
        If the name is unknown or the device is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cpu":
        return torch.device(name)
    kind, _, number = name.partition(":")
    if kind != "cuda" or not (number.isdigit() or name == "cuda"):
        raise ConfigurationError(f"expected device auto, cpu, cuda or cuda:N, got {name!r}")
    if int(number or 0) >= torch.cuda.device_count():
        raise ConfigurationError(
            f"expected a CUDA device for {name}, found {torch.cuda.device_count()}; use cpu"
        )
    return torch.device(name)


def place_of(model: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Return the device and dtype in which ``model`` takes its input.

    Those of its first floating point parameter or buffer; float32 on the CPU where it
    has none.
    """
    tensor = first_float(model)
    return (torch.device("cpu"), torch.float32) if tensor is None else (tensor.device, tensor.dtype)


def first_float(model: nn.Module) -> torch.Tensor | None:
    """Return a model's first floating point parameter or buffer; None where it has none."""
    # Chained, not listed: this is asked before every pass, and the first will mostly do.
    tensors = chain(model.parameters(), model.buffers())
    return next((tensor for tensor in tensors if tensor.is_floating_point()), None)


def processor_name(device: torch.device) -> str:
    """Return what the GPU, or the processor, calls itself."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    described = Path("/proc/cpuinfo")
    if described.is_file():
        for line in described.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
