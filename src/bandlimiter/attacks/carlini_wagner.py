"""C&W (Carlini and Wagner 2017): the smallest L2 perturbation by penalised descent."""

import math
from dataclasses import dataclass

import torch
from typing_extensions import override

from bandlimiter.attacks.attack_input import AttackInput
from bandlimiter.attacks.base import Attack
from bandlimiter.attacks.losses import MARGIN


@dataclass(frozen=True)
class MinimalCarliniWagner(Attack):
    """C&W in L2, with Foolbox 1.8's settings.

    Minimises |x' - x|^2 + c * max(0, z_label - z_other), with a target
    |x' - x|^2 + c * max(0, z_other - z_target), by Adam over w with
    x' = (tanh(w) + 1) / 2. The constant c starts at ``constant``, grows tenfold while no
    adversarial point is found and is bisected after that, ``searches`` rounds in all. A
    round ends for an image whose loss has not fallen by 1e-4 of itself within a tenth of
    ``iterations``. The closest adversarial point (L2) of all rounds is kept.
    """

    searches: int = 5
    iterations: int = 1000
    rate: float = 5e-3
    constant: float = 1e-2
    quick: bool = False
    name = "cw"
    protocol = "minimal"
    targeted = True

    @override
    def run(self, inputs: AttackInput) -> torch.Tensor:
        images = inputs.images
        best = _Closest(images)
        constant = images.new_full((len(images),), self.constant)
        low, high = torch.zeros_like(constant), torch.full_like(constant, torch.inf)
        for _ in range(self.searches):
            success = self._descend(inputs, constant, best)
            high = torch.where(success, constant, high)
            low = torch.where(success, low, constant)
            constant = torch.where(torch.isinf(high), constant * 10, (low + high) / 2)
        return inputs.pushed_over(best.points)

    def _descend(
        self, inputs: AttackInput, constant: torch.Tensor, best: "_Closest"
    ) -> torch.Tensor:
        """One round at the given constants; [N] bool, whether it met an adversarial point."""
        start = torch.atanh((2 * inputs.images - 1) * 0.999999)
        origin = (torch.tanh(start) + 1) / 2  # what the penalty pulls to; not quite x
        success = torch.zeros(len(start), dtype=torch.bool, device=start.device)
        active = torch.arange(len(start), device=start.device)
        w, adam = start.clone(), _Adam(start, self.rate)
        checked = torch.full_like(constant, torch.inf)
        interval = math.ceil(self.iterations / 10)

        for iteration in range(self.iterations):
            going = inputs.select(active)
            x, loss, hit, gradient = _penalised(going, w, origin[active], constant[active])
            best.offer(active[hit], x[hit])
            success[active[hit]] = True
            w = w + adam.step(gradient)
            if iteration % interval == 0:
                going_on = loss <= 0.9999 * checked
                checked, active, w = loss[going_on], active[going_on], w[going_on]
                adam.keep(going_on)
                if not len(active):
                    break
        return success


def _penalised(
    inputs: AttackInput,
    w: torch.Tensor,
    origin: torch.Tensor,
    constant: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return points, losses, whether they are adversarial, and the gradient in w."""
    tanh = torch.tanh(w)
    x = (tanh + 1) / 2
    _, margin, gradient = inputs.ascend(x, MARGIN)
    hit = margin > 0
    shape = (-1, *[1] * (w.ndim - 1))
    difference = x - origin
    loss = difference.flatten(1).square().sum(dim=1) + constant * (-margin).clamp_min(0)
    # Where the goal is reached already only the distance pulls.
    weight = torch.where(margin < 0, -constant, 0).view(shape)
    slope = 2 * difference + weight * gradient
    return x, loss, hit, slope * (1 - tanh.square()) / 2


class _Closest:
    """The closest point (L2) offered for each image."""

    def __init__(self, images: torch.Tensor) -> None:
        self._images = images
        self.points = images.clone()
        self._distance = images.new_full((len(images),), torch.inf)

    def offer(self, index: torch.Tensor, x: torch.Tensor) -> None:
        distance = (x - self._images[index]).flatten(1).norm(dim=1)
        closer = distance < self._distance[index]
        self._distance[index[closer]] = distance[closer]
        self.points[index[closer]] = x[closer]


class _Adam:
    """Adam (Kingma and Ba 2014) for rows that may leave, which torch.optim's cannot."""

    def __init__(self, like: torch.Tensor, rate: float) -> None:
        self._mean, self._square = torch.zeros_like(like), torch.zeros_like(like)
        self._rate, self._steps = rate, 0

    def step(self, gradient: torch.Tensor) -> torch.Tensor:
        self._steps += 1
        self._mean = 0.9 * self._mean + 0.1 * gradient
        self._square = 0.999 * self._square + 0.001 * gradient.square()
        mean = self._mean / (1 - 0.9**self._steps)
        square = self._square / (1 - 0.999**self._steps)
        return -self._rate * mean / (square.sqrt() + 1e-7)

    def keep(self, rows: torch.Tensor) -> None:
        self._mean, self._square = self._mean[rows], self._square[rows]
