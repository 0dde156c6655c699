"""What a module of the user's takes: images of which size, in how many channels."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from bandlimiter.tensors import generator, model_logits, place_of


def stated_size(model: nn.Module) -> int | None:
    """Return the height and width that a model, or the network inside it, says it takes.

    That is the ``input_size`` (C, H, W) in timm's ``pretrained_cfg`` or ``default_cfg`` or of the
    module, or an ``image_size`` of the module (torchvision's ViT) or of its ``config`` (Hugging
    Face). What the network inside says counts where images reach it as large as they came: behind
    a normaliser or in a wrapper they do, behind a resize they do not.

    Returns
    -------
    int or None
        None where nobody says, several parts differ, or it is no square.
    """
    found = _stating(model)
    if len({size for _, size in found}) != 1:
        return None
    part, size = found[0]
    if part is not model and isinstance(part, torch.jit.ScriptModule):
        return None  # where it stands cannot be watched
    return size if part is model or _passes_on(model, part, size) else None


def refusal(model: nn.Module, channels: int, height: int, width: int) -> str | None:
    """Return None where a model takes such images, or what it says, in a line."""
    device, dtype = place_of(model)
    x = torch.rand(1, channels, height, width, generator=generator(0, "probe"))
    try:
        with torch.no_grad():
            logits = model_logits(model, x.to(device, dtype), check=False)
    except Exception as error:  # noqa: BLE001  (models refuse a shape in many ways)
        return (str(error).splitlines() or [type(error).__name__])[0]
    # A view(-1, ...) takes an image of three channels for three images.
    return None if len(logits) == 1 else f"one image gives {len(logits)} answers"


def _stating(module: nn.Module) -> list[tuple[nn.Module, int]]:
    """Return the outermost parts that state a size, each with it."""
    size = _said(module)
    if size is not None:
        return [(module, size)]
    return [found for child in module.children() for found in _stating(child)]


def _said(module: nn.Module) -> int | None:
    for name in ("pretrained_cfg", "default_cfg"):
        facts = getattr(module, name, None)
        if isinstance(facts, Mapping) and facts.get("input_size") is not None:
            return _square(facts["input_size"])
    shape = getattr(module, "input_size", None)  # one number is mostly a vector's length
    if isinstance(shape, tuple | list) and len(shape) == 3:
        return _square(shape)
    size = getattr(module, "image_size", None)
    return _square(getattr(getattr(module, "config", None), "image_size", size))


def _square(size: Any) -> int | None:
    """Read N, (N, N) or (C, N, N)."""
    sides = (size,) if isinstance(size, int) else size
    if not isinstance(sides, tuple | list) or not all(type(side) is int for side in sides):
        return None
    return sides[-1] if len({*sides[-2:]}) == 1 and sides[-1] > 0 else None


def _passes_on(model: nn.Module, part: nn.Module, size: int) -> bool:
    """Whether images of another size reach a part of the model as large as they are."""
    other = size + 32
    seen: list[tuple[int, ...]] = []

    def stop(_: nn.Module, given: tuple[Any, ...]) -> None:
        seen.append(tuple(given[0].shape[-2:]))
        raise RuntimeError("seen")

    hook = part.register_forward_pre_hook(stop)
    try:
        for channels in (3, 1):
            refusal(model, channels, other, other)
    finally:
        hook.remove()
    return seen[:1] == [(other, other)]
