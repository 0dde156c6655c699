"""Short texts that change when what they stand for does: weights, images, attacks, code."""

import hashlib
import inspect
import re
from dataclasses import fields, is_dataclass
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from bandlimiter.attacks import Attack
from bandlimiter.data import ImageSet
from bandlimiter.tensors import place_of

_ROOMS = (
    *("tensors", "geometry", "sampling", "defence", "attacks", "models", "data"),
    *("acceleration", "evaluation"),
)
"""The rooms whose code rows depend on."""

_ADDRESS = r" at 0x[0-9a-fA-F]+"

_TORCH_S_OWN = frozenset(vars(nn.Module())) | {"training"}
"""Attributes that every module has: parameters, buffers and parts have their own way in."""


def of_module(module: nn.Module, seen: frozenset[int] = frozenset()) -> str:
    """Hash a module: structure, weights and buffers to the last bit, and classes of one's own.

    The bytes of all tensors in ``state_dict`` and of all buffers, kept there or not; ``repr``,
    which names layers and their settings; of classes that are neither PyTorch's nor this
    package's also plain attributes and the source of the file that defines them, since a
    temperature, or a change in a ``forward``, changes answers and no weight. ``seen`` are the
    identities of objects that hold this one.
    """
    seen |= {id(module)}
    digest = hashlib.sha256(repr(module).encode())
    tensors = {**module.state_dict(), **dict(module.named_buffers())}
    for name, value in sorted(tensors.items()):
        _add(digest, name, value)
    for name, part in module.named_modules():
        if not _known(type(part)):
            own = {key: value for key, value in vars(part).items() if key not in _TORCH_S_OWN}
            described = {key: _value(value, seen) for key, value in sorted(own.items())}
            digest.update(f"{name} {described} {_source(type(part))}".encode())
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
    source = "" if _known(kind) else f" {hashlib.sha256(_source(kind).encode()).hexdigest()[:16]}"
    return f"{kind.__module__}.{kind.__qualname__}({described}){source}"


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


def _known(kind: type) -> bool:
    """Whether a class is PyTorch's, or this package's, whose code has a hash of its own."""
    return kind.__module__.partition(".")[0] in ("torch", "bandlimiter")


def _add(digest: Any, name: str, value: Any) -> None:
    if not isinstance(value, torch.Tensor):
        digest.update(f"{name} {value!r}".encode())
        return
    digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
    contiguous = value.detach().cpu().contiguous()
    digest.update(np.ascontiguousarray(contiguous.flatten().view(torch.uint8).numpy()).data)


def _value(value: Any, seen: frozenset[int] = frozenset()) -> str:
    """Write a setting; what is large by its hash, an object without a repr by its attributes."""
    if id(value) in seen:  # it holds itself
        return type(value).__qualname__
    seen |= {id(value)}
    if isinstance(value, torch.Tensor):
        digest = hashlib.sha256()
        _add(digest, "", value)
        return digest.hexdigest()[:16]
    if isinstance(value, nn.Module):
        return of_module(value, seen)
    if isinstance(value, Attack):
        return of_attack(value)
    if inspect.isroutine(value) or isinstance(value, type):
        return _source(value)
    if isinstance(value, list | tuple):
        return str([_value(each, seen) for each in value])
    if isinstance(value, dict):
        return str([(repr(key), _value(each, seen)) for key, each in value.items()])
    text = repr(value)
    if re.search(_ADDRESS, text) and hasattr(value, "__dict__"):
        return f"{type(value).__qualname__}({_value(vars(value), seen)})"
    return re.sub(_ADDRESS, "", text)  # an address names no setting


def _source(thing: Any) -> str:
    """Return the source of the file that defines a class or function: it may use all of it."""
    name = f"{getattr(thing, '__module__', '')}.{getattr(thing, '__qualname__', '')}"
    try:
        path = inspect.getsourcefile(thing)
        return name if path is None else name + Path(path).read_text()
    except (OSError, TypeError):  # made in a session, or compiled: its name must do
        return name
