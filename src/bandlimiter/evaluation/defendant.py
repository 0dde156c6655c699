"""A defence on trial: its answers, its answers under other draws, and how it is attacked."""

from collections.abc import Callable, Sequence

import torch
from torch import nn

from bandlimiter.attacks import Randomness, Target
from bandlimiter.defence import PostAverage, Stop
from bandlimiter.evaluation.checks import has_gradient
from bandlimiter.tensors import Key, find_normaliser, model_logits, place_of


class Defendant:
    """A defended model with the rules by which it is judged.

    Parameters
    ----------
    name
        What rows and tables call it.
    module
        [N, ...] pixels -> logits [N, classes].
    plain
        The model that it defends.
    example
        [1, ...], an input for both.
    random
        Whether it answers differently each time.
    randomness
        How it is attacked and judged if so.
    seeds
        Of a fixed draw: how many other direction seeds are judged beside it.
    stop, alpha
        How early a `PostAverage` may answer.
    """

    def __init__(
        self,
        name: str,
        module: nn.Module,
        plain: nn.Module,
        example: torch.Tensor,
        *,
        random: bool,
        randomness: Randomness,
        seeds: int = 0,
        stop: Stop = "never",
        alpha: float = 1e-3,
    ) -> None:
        self.name, self.module, self.random = name, module, random
        self.randomness = randomness if random else Randomness()
        self._plain, self._example, self._stop, self._alpha = plain, example, stop, alpha
        self._dtype = place_of(plain)[1]
        self._others: list[PostAverage] = []
        if isinstance(module, PostAverage) and not random:
            self._others = [module.variant(seed=module.seed + 1 + i) for i in range(seeds)]

    def target(self, heartbeat: Callable[[Target], None] | None = None) -> Target:
        """Return the defence as an attack sees it that knows everything but fresh draws."""
        return Target(
            self.module,
            heartbeat,
            randomness=self.randomness,
            differentiable=self._differentiable(),
        )

    def labels(self, images: torch.Tensor, keys: Sequence[Key]) -> torch.Tensor:
        """[N, ...] -> [N], with fresh draws named by ``keys``."""
        return self._labels(self.module, images, keys)

    def repeated(self, images: torch.Tensor, keys: Sequence[Key]) -> torch.Tensor:
        """Return predictions [redraws, N], each with draws of its own."""
        repeats = [
            self._labels(self.module, images, [f"{key}/again{i}" for key in keys])
            for i in range(self.randomness.redraws)
        ]
        return torch.stack(repeats)

    def other_seeds(self, images: torch.Tensor) -> list[tuple[int, ...]]:
        """Return the labels [N][seeds] under other direction seeds, empty where there are none."""
        if not self._others or not len(images):
            return [()] * len(images)
        columns = [self._labels(other, images, range(len(images))) for other in self._others]
        return [tuple(row) for row in torch.stack(columns, dim=1).tolist()]

    def scale(self) -> float | torch.Tensor | None:
        """Return what divides a pixel difference to give a length in the network's input space."""
        if isinstance(self.module, PostAverage):
            return self.module.scale
        normaliser = find_normaliser(self._plain)
        return None if normaliser is None else normaliser.std

    @torch.no_grad()
    def _labels(self, module: nn.Module, images: torch.Tensor, keys: Sequence[Key]) -> torch.Tensor:
        images = images.to(self._dtype)
        if isinstance(module, PostAverage):
            return module.predict(images, stop=self._stop, alpha=self._alpha, keys=keys).labels
        return model_logits(module, images).argmax(dim=1)

    def _differentiable(self) -> nn.Module | None:
        """Return the same average with a gradient, where the defence itself has none.

        A compiled copy has no gradient and a majority vote none that is not zero. An attacker
        who knows the defence follows the mean probability over the same points instead.
        """
        module = self.module
        if not isinstance(module, PostAverage):
            return None
        # The plain model is inside, or a compiled copy of it; or another model, which is followed.
        inside = module.model
        if inside is not self._plain and not has_gradient(inside, self._example):
            inside = self._plain
        if module.vote != "majority" and inside is module.model:
            return None
        vote = "softmax" if module.vote == "majority" else module.vote
        return module.variant(model=inside, vote=vote)
