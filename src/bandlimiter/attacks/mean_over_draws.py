"""A classifier's answers where they are random: draws with names, and means over them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import nn

from bandlimiter.errors import ConfigurationError
from bandlimiter.tensors import Key, logits_of, model_logits, place_of


@dataclass(frozen=True)
class Randomness:
    """How a model with random answers is attacked and judged; the defaults suit any other.

    Attributes
    ----------
    draws
        Over how many each query and each gradient is averaged, see `MeanOverDraws`.
    redraws
        How often a final image is predicted before it counts as adversarial.
    broken_share
        In (0, 1]: the share of these predictions that must be wrong.
    """

    draws: int = 1
    redraws: int = 1
    broken_share: float = 0.5

    def __post_init__(self) -> None:
        if self.draws < 1 or self.redraws < 1:
            raise ConfigurationError(
                f"expected draws and redraws of at least 1, got {self.draws} and {self.redraws}"
            )
        if not 0 < self.broken_share <= 1:
            raise ConfigurationError(f"expected a broken share in (0, 1], got {self.broken_share}")


@runtime_checkable
class NamedDraws(Protocol):
    """A model whose random draws can be named, so that answers repeat whatever the batch."""

    def named_scores(self, x: torch.Tensor, keys: Sequence[Key]) -> torch.Tensor:
        """Return logits [N, classes] for x [N, ...], each with the draw that its key names."""
        ...


class MeanOverDraws:
    """What a model says: once, or as the mean probability over several of its draws.

    Parameters
    ----------
    model
        [N, ...] pixels -> logits [N, classes].
    draws
        How often a model is asked whose answers are random. The mean over draws of its
        probabilities is what an expectation over transformation estimates (Athalye et al.
        2018): logits, and their gradient, are those of the log of that mean. 1 for a
        deterministic model.
    """

    def __init__(self, model: nn.Module, draws: int) -> None:
        self._model, self.draws = model, draws
        # What is judged on a lattice of its own must not be rounded to the model's first.
        self._dtype = getattr(model, "input_dtype", None) or place_of(model)[1]

    def once(self, x: torch.Tensor, names: Sequence[Key] | None) -> torch.Tensor:
        """Ask once: the logits [N, classes] of one draw, named where the model allows it."""
        if names is not None and isinstance(self._model, NamedDraws):
            return logits_of(self._model.named_scores(x.to(self._dtype), names))
        return model_logits(self._model, x)

    def mean(self, x: torch.Tensor, names: Sequence[Key] | None) -> torch.Tensor:
        """Ask ``draws`` times; draw d of a name has the name ``name/d``."""
        if self.draws == 1:
            return self.once(x, names)
        logs = [
            F.log_softmax(self.once(x, None if names is None else [f"{n}/{d}" for n in names]), 1)
            for d in range(self.draws)
        ]
        return torch.stack(logs).logsumexp(dim=0) - math.log(self.draws)
