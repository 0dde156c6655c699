"""What a run's models say of a few of its images: kept with its rows, and asked again on going on.

A run is what it computes. Hashes of weights and code find most of what may change that, but not
all, and numbers cannot be hashed: another processor rounds otherwise. So logits are compared.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from bandlimiter.defence import PostAverage
from bandlimiter.errors import ConfigurationError
from bandlimiter.results import NONE
from bandlimiter.tensors import answers_differ, model_logits, place_of, rounding_share

IMAGES = 2
"""How many images of a slice are kept; a long run keeps many."""

MOST_SLICES = 4
"""Of how many slices images are asked about again."""

_ROUNDING = 1e-6
"""Of the largest logit: eight roundings of float32."""

logger = logging.getLogger(__name__)

Kept = Mapping[str, Any]
"""``ids``, and under ``logits`` a row for each of them by the name of a model."""


class ChangedError(ConfigurationError):
    """Models that answer otherwise than when the run began."""


class Probe:
    """Asks models about images.

    Parameters
    ----------
    modules
        By name: [N, ...] pixels -> logits [N, classes]. Those whose answers are random are left
        out: hashes must do for them.
    example
        [1, ...] pixels, on the models' device.
    """

    def __init__(self, modules: Mapping[str, nn.Module], example: torch.Tensor) -> None:
        self._modules = {name: m for name, m in modules.items() if not _random(m, example)}

    @torch.no_grad()
    def ask(self, images: torch.Tensor, ids: Sequence[int]) -> dict[str, Any]:
        """Return what is kept of images [N, ...] and their ids, as JSON holds it.

        A model that fails on one of them is left out.
        """
        logits = {}
        for name, module in self._modules.items():
            try:
                logits[name] = _finite(_logits(module, images, ids))
            except torch.OutOfMemoryError:
                raise
            except Exception as error:  # noqa: BLE001  (a user's code may raise anything)
                logger.info("%s answers no probe: %s", name, error)
        return {"ids": list(ids), "logits": logits}

    def require_same(self, kept: Kept, images: torch.Tensor) -> None:
        """Refuse models that answer otherwise than the run ``kept``, about the same images.

        Raises
        ------
        ChangedError
            That names the model, and an image with both answers.
        """
        now = self.ask(images, kept["ids"])["logits"]
        for name, rows in kept["logits"].items():
            who = "the plain model" if name == NONE else f"the defence {name}"
            expected = "expected the models that this run was started with, but"
            if name not in now:
                raise ChangedError(f"{expected} {who} now fails, or answers at random")
            tolerance = max(map(rounding_share, _precisions(self._modules[name])))
            for key, before, after in zip(kept["ids"], rows, now[name], strict=True):
                if not _close(before, after, tolerance):
                    raise ChangedError(
                        f"{expected} the logits of {who} for image {key} changed from "
                        f"{_written(before)} to {_written(after)}"
                    )


def _random(module: nn.Module, example: torch.Tensor) -> bool:
    # A PostAverage's own draws have names, and so are no chance.
    inside = module.model if isinstance(module, PostAverage) else module
    try:
        return answers_differ(inside, example)
    except Exception:  # noqa: BLE001  (a user's code may raise anything; it will again)
        return True


def _logits(module: nn.Module, images: torch.Tensor, ids: Sequence[int]) -> torch.Tensor:
    if isinstance(module, PostAverage):
        x = images.to(*place_of(module.model))
        return module.named_scores(x, [f"{key}/probe" for key in ids])
    return model_logits(module, images.to(*place_of(module)))


def _finite(logits: torch.Tensor) -> list[list[float | None]]:
    """Return rows of numbers, None for a class that is ruled out: JSON knows no infinity."""
    rows = logits.double().tolist()
    return [[value if abs(value) < torch.inf else None for value in row] for row in rows]


def _close(before: Sequence[float | None], after: Sequence[float | None], share: float) -> bool:
    if [value is None for value in before] != [value is None for value in after]:
        return False
    pairs = [(b, a) for b, a in zip(before, after, strict=True) if b is not None and a is not None]
    old = [b for b, _ in pairs] or [0.0]
    # Logits that nearly agree have less range than the rounding of what they are sums of.
    tolerance = max(share * (max(old) - min(old)), _ROUNDING * max(map(abs, old)))
    return all(abs(a - b) <= tolerance for b, a in pairs)


def _precisions(module: nn.Module) -> list[torch.dtype]:
    """Return what a module computes in, as far as its weights and parts say so."""
    kinds = [value.dtype for value in module.parameters()]
    kinds += [getattr(part, "dtype", torch.float32) for part in module.modules()]
    return [kind for kind in kinds if isinstance(kind, torch.dtype) and kind.is_floating_point]


def _written(row: Iterable[float | None]) -> str:
    first = ["-inf" if value is None else f"{value:.4g}" for value in row][:3]
    return f"[{', '.join(first)}, ...]"
