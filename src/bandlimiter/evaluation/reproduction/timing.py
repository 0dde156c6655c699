"""What an answer takes, plain and averaged: one image at a time, as the paper's table 2 has it."""

import math
import time
from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Any

import torch
from torch import nn

from bandlimiter.defence import PostAverage
from bandlimiter.tensors import model_logits, place_of

_Z = 1.959963984540054


@torch.no_grad()
def time_answers(
    model: nn.Module, defences: Mapping[str, PostAverage], images: torch.Tensor
) -> dict[str, dict[str, Any]]:
    """Time single answers of a model and of defences around it, in turn on the same images.

    Taking turns lets whatever else the machine does fall on all alike. Each answer is a whole
    average, with no early stop, its 6K + 1 points packed into full passes.

    Parameters
    ----------
    model
        The plain model.
    defences
        By name.
    images
        [N, ...] pixels, N >= 2.

    Returns
    -------
    dict
        For each defence ``plain`` and ``defended``, mean seconds per image, ``plain_interval``
        and ``defended_interval``, 95 % by the normal law over images, and ``ratio``.
    """
    device, dtype = place_of(model)
    images = images.to(device, dtype)
    asked = {"": model, **defences}
    seconds: dict[str, list[float]] = {name: [] for name in asked}
    for name in asked:  # the first call of each loads code and fills caches
        _timed(asked[name], images[:1])
    for i in range(len(images)):
        for name, module in asked.items():
            seconds[name].append(_timed(module, images[i : i + 1]))
    plain = _entries("plain", seconds[""])
    return {
        name: {
            **plain,
            **_entries("defended", seconds[name]),
            "ratio": mean(seconds[name]) / mean(seconds[""]),
        }
        for name in defences
    }


def _timed(module: nn.Module, image: torch.Tensor) -> float:
    _wait(image)
    start = time.perf_counter()
    model_logits(module, image, check=False)
    _wait(image)
    return time.perf_counter() - start


def _wait(image: torch.Tensor) -> None:
    """Let a GPU finish what it was given."""
    if image.device.type == "cuda":
        torch.cuda.synchronize(image.device)


def _entries(name: str, seconds: Sequence[float]) -> dict[str, Any]:
    centre, spread = mean(seconds), _Z * stdev(seconds) / math.sqrt(len(seconds))
    return {name: centre, f"{name}_interval": [centre - spread, centre + spread]}
