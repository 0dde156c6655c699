"""PGD (Madry et al. 2017): steps along the gradient's sign, projected back to the budget."""

from dataclasses import dataclass

import torch
from typing_extensions import override

from bandlimiter.attacks.attack_input import AttackInput
from bandlimiter.attacks.balls import LInf
from bandlimiter.attacks.base import Attack

_BALL = LInf()


@dataclass(frozen=True)
class PGD(Attack):
    """The full budget: a uniform random start and ``steps`` steps of epsilon * ``rate``."""

    steps: int = 40
    rate: float = 1 / 30
    random_start: bool = True
    quick: bool = False
    name = "pgd"
    protocol = "fixed"
    targeted = True

    @override
    def run(self, inputs: AttackInput) -> torch.Tensor:
        images, epsilon = inputs.images, inputs.epsilon
        start = images
        if self.random_start:
            start = (images + epsilon * inputs.uniform("pgd")).clamp(0, 1)
        x = start
        for step in range(self.steps):
            gradient = inputs.loss_gradient(x, step, self.steps)
            x = _BALL.project(x + epsilon * self.rate * gradient.sign(), images, epsilon)
        return x


@dataclass(frozen=True)
class MinimalPGD(Attack):
    """The smallest budget at which PGD succeeds, as Foolbox 1.8 searched.

    Runs PGD at ``start``; grows the budget by 1.5 up to ``searches`` times until a run
    succeeds, then bisects ``searches`` times between that and 0. A run stops at its first
    success. Of all adversarial points seen, the closest (L-inf) is kept.
    """

    steps: int = 40
    rate: float = 1 / 30
    start: float = 0.3
    growth: float = 1.5
    searches: int = 20
    quick: bool = False
    name: str = "pgd"
    protocol = "minimal"
    targeted = True

    @override
    def run(self, inputs: AttackInput) -> torch.Tensor:
        images = inputs.images
        best = images.clone()
        good = torch.full((len(images),), torch.inf, device=images.device, dtype=images.dtype)
        budget = torch.full_like(good, self.start)

        searching = torch.arange(len(images), device=images.device)
        for attempt in range(self.searches):
            if not len(searching):
                break
            done = self._attempt(inputs, searching, budget, best, ("grow", attempt))
            good[searching[done]] = budget[searching[done]]
            searching = searching[~done]
            budget[searching] *= self.growth

        found = torch.isfinite(good).nonzero().flatten()
        bad = torch.zeros_like(good)
        for attempt in range(self.searches):
            if not len(found):
                break
            budget[found] = (good[found] + bad[found]) / 2
            done = self._attempt(inputs, found, budget, best, ("bisect", attempt))
            good[found[done]] = budget[found[done]]
            bad[found[~done]] = budget[found[~done]]
        return best

    def _attempt(
        self,
        inputs: AttackInput,
        index: torch.Tensor,
        budget: torch.Tensor,
        best: torch.Tensor,
        purpose: tuple[str, int],
    ) -> torch.Tensor:
        """Run PGD for the images in ``index``; [n] bool success; closer points go to ``best``."""
        part = inputs.select(index)
        epsilon = budget[index].view(-1, *[1] * (best.ndim - 1))
        x = (part.images + epsilon * part.uniform("pgd", *purpose)).clamp(0, 1)
        success = torch.zeros(len(index), dtype=torch.bool, device=index.device)
        active = torch.arange(len(index), device=index.device)
        gradient = part.loss_gradient(x, 0, self.steps)
        for step in range(1, self.steps + 1):
            going = part.select(active)
            x = _BALL.project(x + epsilon * self.rate * gradient.sign(), going.images, epsilon)
            if step < self.steps:  # one pass tells whether to stop and where to go on
                hit, gradient = going.confirmed_and_gradient(x, step, self.steps)
            else:
                hit = going.confirmed(x, going.logits(x))
            if hit.any():
                _keep_closer(best, inputs.images, index[active[hit]], x[hit])
                success[active[hit]] = True
                left = ~hit
                x, epsilon, active, gradient = x[left], epsilon[left], active[left], gradient[left]
            if not len(active):
                break
        return success


def _keep_closer(
    best: torch.Tensor, images: torch.Tensor, index: torch.Tensor, x: torch.Tensor
) -> None:
    """Put ``x`` into ``best[index]`` where it is the first or a closer adversarial point."""
    new = (x - images[index]).flatten(1).abs().amax(dim=1)
    old = (best[index] - images[index]).flatten(1).abs().amax(dim=1)
    closer = (old == 0) | (new < old)
    best[index[closer]] = x[closer]
