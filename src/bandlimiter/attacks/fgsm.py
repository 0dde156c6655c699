"""FGSM (Goodfellow et al. 2014): one step along the sign of the loss gradient."""

from dataclasses import dataclass

import torch
from typing_extensions import override

from bandlimiter.attacks.attack_input import AttackInput
from bandlimiter.attacks.base import Attack

_FULL_PASS = 128
"""Points per pass, from which on larger passes are no faster."""


class FGSM(Attack):
    """The full budget in one step: x + epsilon * sign(gradient)."""

    name = "fgsm"
    protocol = "fixed"
    targeted = True
    few_gradients = True

    @override
    def run(self, inputs: AttackInput) -> torch.Tensor:
        return inputs.images + inputs.epsilon * _direction(inputs)


@dataclass(frozen=True)
class MinimalFGSM(Attack):
    """The smallest step of a grid that succeeds, as Foolbox 1.8 searched.

    A grid of ``steps`` equal steps up to ``largest``; where one of its first ``refined``
    succeeds, a second grid of ``refined`` steps up to that one. The sign is taken once,
    at the clean image.
    """

    steps: int = 1000
    refined: int = 20
    largest: float = 1.0
    quick: bool = False
    name = "fgsm"
    protocol = "minimal"
    targeted = True
    few_gradients = True

    @override
    def run(self, inputs: AttackInput) -> torch.Tensor:
        direction = _direction(inputs)
        grid = self.largest * torch.arange(1, self.steps + 1, dtype=torch.float64) / self.steps
        grid = grid.to(inputs.images.device, inputs.images.dtype)
        first = _first_success(inputs, direction, grid.expand(len(inputs.images), -1))
        size = torch.where(first >= 0, grid[first], 0)

        again = ((first >= 0) & (first < self.refined)).nonzero().flatten()
        if len(again):
            fractions = torch.arange(1, self.refined + 1).to(grid) / self.refined
            finer = size[again, None] * fractions
            better = _first_success(inputs.select(again), direction[again], finer)
            rows = torch.arange(len(again), device=grid.device)
            # The last finer step is the one that succeeded, up to rounding.
            size[again] = torch.where(better >= 0, finer[rows, better], size[again])
        return _moved(inputs.images, direction, size)


def _direction(inputs: AttackInput) -> torch.Tensor:
    return inputs.loss_gradient(inputs.images).sign()


def _moved(images: torch.Tensor, direction: torch.Tensor, size: torch.Tensor) -> torch.Tensor:
    return (images + size.view(-1, *[1] * (images.ndim - 1)) * direction).clamp(0, 1)


def _first_success(
    inputs: AttackInput, direction: torch.Tensor, grid: torch.Tensor
) -> torch.Tensor:
    """[N] the first column of ``grid`` [N, G] that fools the model, or -1.

    An image leaves when it is done. Few images left take several columns per pass, so that
    the passes stay full; the first success in order is the same.
    """
    count, columns = grid.shape
    first = torch.full((count,), -1, device=grid.device)
    active = torch.arange(count, device=grid.device)
    column = 0
    while column < columns and len(active):
        width = min(columns - column, max(1, _FULL_PASS // len(active)))
        sizes = grid[active, column : column + width]
        owner = active.repeat_interleave(width)
        tried = _moved(inputs.images[owner], direction[owner], sizes.flatten())
        fooled = inputs.select(owner).fooled(tried).view(-1, width)
        hit = fooled.any(dim=1)
        first[active[hit]] = column + fooled[hit].int().argmax(dim=1)
        active = active[~hit]
        column += width
    return first
