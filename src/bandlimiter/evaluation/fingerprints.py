"""Short texts that change when what they stand for does: models, images, attacks, code."""

import ast
import hashlib
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from typing import Any

import torch
from torch import nn

from bandlimiter.attacks import Attack
from bandlimiter.data import ImageSet
from bandlimiter.defence import PostAverage
from bandlimiter.evaluation.values import changing, hash_of
from bandlimiter.tensors import generator, model_logits, place_of

_ROOMS = (
    *("tensors", "geometry", "sampling", "defence", "attacks", "models", "data"),
    *("acceleration", "evaluation"),
)
"""The rooms whose code rows depend on."""

_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def of_images(images: ImageSet) -> dict[str, Any]:
    """Describe a set of images: how many, and hashes of ids, labels and contents."""
    return {"number": len(images), "content": images.fingerprint()}


def of_module(module: nn.Module, shape: Sequence[int]) -> str:
    """Hash a model's weights and code; what answering an input [1, ...] changes is left out."""
    inside = module.model if isinstance(module, PostAverage) else module
    x = torch.rand(tuple(shape), generator=generator(0, "identity"))

    def run(inputs: torch.Tensor) -> None:
        device, dtype = place_of(inside)
        devices = [device] if device.type == "cuda" else []
        with torch.no_grad(), torch.random.fork_rng(devices):  # chance is left as it was
            model_logits(inside, inputs.to(device, dtype))

    return hash_of(module, frozenset(changing(inside, run, x)))


def of_attack(attack: Attack) -> str:
    """Describe an attack by its class and settings."""
    kind = type(attack)
    if is_dataclass(attack):
        shown = [field.name for field in fields(attack) if field.repr]
        settings = {name: getattr(attack, name) for name in shown}
    else:
        settings = dict(sorted(vars(attack).items()))
    described = ", ".join(f"{name}={_shown(value)}" for name, value in settings.items())
    own = not kind.__module__.startswith("bandlimiter.")
    return f"{kind.__module__}.{kind.__qualname__}({described}){f' {hash_of(kind)}' if own else ''}"


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
            digest.update(meaning(path.read_text(encoding="utf-8")).encode())
    names = ("bandlimiter", "torch", "numpy")
    return {"code": digest.hexdigest()[:16], **{name: version(name) for name in names}}


def meaning(source: str) -> str:
    """Return Python source without comments, docstrings and layout.

    Examples
    --------
    >>> meaning("x  = 1  # one")
    'x = 1'
    """
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return ast.unparse(tree)


def _shown(value: Any) -> str:
    """Write a setting of an attack: short ones as they are."""
    if isinstance(value, Attack):
        return of_attack(value)
    return repr(value) if isinstance(value, (bool, int, float, str)) else hash_of(value)


def _python_files(folder: Any) -> list[Any]:
    found = []
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            found += _python_files(entry)
        elif entry.name.endswith(".py"):
            found.append(entry)
    return found
