"""Short texts that change when what they stand for does: weights, images, attacks, code."""

import hashlib
import inspect
import re
from dataclasses import fields, is_dataclass
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from typing import Any

import numpy as np
import torch
from torch import nn

from bandlimiter.attacks import Attack
from bandlimiter.data import ImageSet
from bandlimiter.tensors import place_of

_ROOMS = ("tensors", "sampling", "defence", "attacks", "models", "data", "evaluation")
"""The rooms whose code rows depend on."""


def of_module(module: nn.Module) -> str:
    """Hash a module: structure, weights and buffers to the last bit, and classes of one's own.

    The bytes of all tensors in ``state_dict``; ``repr``, which names layers and their settings;
    and the source of classes that are not PyTorch's or this package's, since a change in a
    ``forward`` changes answers and no weight.
    """
    digest = hashlib.sha256(repr(module).encode())
    for name, value in sorted(module.state_dict().items()):
        _add(digest, name, value)
    kinds = {type(part) for part in module.modules()}
    for kind in sorted(kinds, key=lambda kind: kind.__qualname__):
        if kind.__module__.partition(".")[0] not in ("torch", "bandlimiter"):
            digest.update(_source(kind).encode())
    return digest.hexdigest()[:16]


def of_images(images: ImageSet) -> dict[str, Any]:
    """Describe a set of images: how many, and hashes of ids, labels and contents."""
    return {"number": len(images), "content": images.fingerprint()}


def of_attack(attack: Attack) -> str:
    """Describe an attack by its class and settings."""
    kind = type(attack)
    if is_dataclass(attack):
        shown = [field.name for field in fields(attack) if field.repr]
        settings = {name: getattr(attack, name) for name in shown}
    else:
        settings = dict(sorted(vars(attack).items()))
    described = ", ".join(f"{name}={_value(value)}" for name, value in settings.items())
    return f"{kind.__module__}.{kind.__qualname__}({described})"


def of_place(model: nn.Module) -> dict[str, str]:
    """Name the device and precision that a model works in: both decide how sums are rounded."""
    device, dtype = place_of(model)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return {"device": name, "dtype": str(dtype).removeprefix("torch.")}


@cache
def of_code() -> dict[str, str]:
    """Return versions, and a hash of the source that rows depend on."""
    digest = hashlib.sha256()
    for room in _ROOMS:
        folder = files("bandlimiter") / room
        for path in _python_files(folder):
            digest.update(path.read_bytes())
    names = ("bandlimiter", "torch", "numpy")
    return {"code": digest.hexdigest()[:16], **{name: version(name) for name in names}}


def _python_files(folder: Any) -> list[Any]:
    found = []
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            found += _python_files(entry)
        elif entry.name.endswith(".py"):
            found.append(entry)
    return found


def _add(digest: Any, name: str, value: Any) -> None:
    if not isinstance(value, torch.Tensor):
        digest.update(f"{name} {value!r}".encode())
        return
    digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
    contiguous = value.detach().cpu().contiguous()
    digest.update(np.ascontiguousarray(contiguous.flatten().view(torch.uint8).numpy()).data)


def _value(value: Any) -> str:
    """Write a setting; what is large by its hash, an object without a repr by its class."""
    if isinstance(value, torch.Tensor):
        digest = hashlib.sha256()
        _add(digest, "", value)
        return digest.hexdigest()[:16]
    if isinstance(value, nn.Module):
        return of_module(value)
    if isinstance(value, Attack):
        return of_attack(value)
    text = repr(value)
    return re.sub(r" at 0x[0-9a-fA-F]+", "", text)  # an address names no setting


def _source(kind: type) -> str:
    try:
        return inspect.getsource(kind)
    except (OSError, TypeError):  # made in a session, or compiled: its name must do
        return f"{kind.__module__}.{kind.__qualname__}"
