"""Weights from files: safetensors, and torch checkpoints that hold nothing but tensors."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from bandlimiter.errors import LoadError

_WRAPPERS = ("state_dict", "model_state_dict", "model", "net")
"""Keys under which training scripts keep the weights beside other things."""


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read a state dict onto the CPU.

    Takes ``.safetensors`` files and torch checkpoints (``.th``, ``.pt``, ``.pth``,
    ``.bin``), the latter with ``weights_only=True``: code in a pickle is never run. A
    state dict inside a larger checkpoint is found.

    Raises
    ------
    LoadError
        If the file is missing, damaged, needs code to be run, or holds no weights.
    """
    if not path.is_file():
        raise LoadError(f"expected a weights file, found none at {path}")
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    for key in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
            break
    if not isinstance(content, dict) or not content:
        raise LoadError(f"expected a state dict in {path}, got {type(content).__name__}")
    strangers = [key for key, value in content.items() if not isinstance(value, torch.Tensor)]
    if strangers:
        raise LoadError(f"expected only tensors in {path}, but {strangers[0]!r} is none")
    return {str(key): value for key, value in content.items()}


def load_weights(network: nn.Module, path: Path, rename: Callable[[str], str] = str) -> None:
    """Load the file at ``path`` into ``network``, every key and no other.

    The ``module.`` that DataParallel puts before each key is taken off where the network
    has no such keys.

    Parameters
    ----------
    network
        Receives the weights.
    path
        See `read_weights`.
    rename
        Maps the file's keys to the network's.

    Raises
    ------
    LoadError
        As `read_weights`; also where names or shapes do not fit the architecture.
    """
    weights = {rename(key): value for key, value in read_weights(path).items()}
    expected = network.state_dict()
    if not weights.keys() & expected.keys():
        weights = {key.removeprefix("module."): value for key, value in weights.items()}
    missing = [name for name in expected if name not in weights]
    # BatchNorm's batch counter is newer than many published checkpoints and unused in eval.
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    surplus = [name for name in weights if name not in expected]
    misshapen = [
        name
        for name, value in weights.items()
        if name in expected and value.shape != expected[name].shape
    ]
    if missing or surplus or misshapen:
        raise LoadError(
            f"expected weights for this architecture in {path.name}: {_some('missing', missing)}, "
            f"{_some('unexpected', surplus)}, {_some('of another shape', misshapen)}; "
            "name the model that the file was made for"
        )
    network.load_state_dict(weights, strict=False)


def _some(what: str, names: list[str]) -> str:
    return f"{len(names)} {what}" + (f" ({names[0]}, ...)" if names else "")


def _read_safetensors(path: Path) -> Any:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise LoadError(f"expected a whole safetensors file, {path} is not: {error}") from error


def _read_torch(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file may fail anywhere in the reader
        if isinstance(error, pickle.UnpicklingError) and _needs_code(error):
            raise LoadError(
                f"refused {path}: it holds Python objects, and loading them would run the "
                "file's code; expected tensors only (save the model's state_dict, or convert "
                "the file to safetensors where you trust it)"
            ) from error
        raise _damaged(path, error) from error


def _needs_code(error: Exception) -> bool:
    text = str(error)
    return "Unsupported global" in text or "Unsupported class" in text or "GLOBAL" in text


def _damaged(path: Path, error: Exception) -> LoadError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return LoadError(f"expected a whole torch checkpoint, {path} is damaged or none: {reason}")
