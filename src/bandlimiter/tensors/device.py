"""Which device to use, decided once."""

import torch

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
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigurationError(f"expected device auto, cpu or cuda, got {name!r}") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigurationError("expected a CUDA device, found none; use --device cpu")
    return device
