"""Auto-PGD (Croce and Hein 2020): PGD whose step shrinks where the loss no longer rises."""

from dataclasses import dataclass

import torch
from typing_extensions import override

from bandlimiter.attacks.attack_input import AttackInput
from bandlimiter.attacks.balls import Ball, ball
from bandlimiter.attacks.base import Attack
from bandlimiter.attacks.losses import LOSSES
from bandlimiter.errors import ConfigurationError

_MOMENTUM = 0.75
_RISING = 0.75
"""The share of an interval's steps that must raise the loss, or the step is halved."""


@dataclass(frozen=True)
class APGD(Attack):
    """The full budget, without a step size to choose.

    From a random start, with steps of 2 epsilon at first, momentum 0.75, and at each of the
    paper's checkpoints: where fewer than three quarters of the steps since the last one
    raised the loss, or neither step nor best loss changed, the step is halved and the search
    goes back to its best point.

    Attributes
    ----------
    steps
        Gradients per image at most, beside that of the start.
    loss
        ``"ce"`` (cross-entropy) or ``"dlr"`` (difference of logits ratio).
    norm
        ``"linf"`` or ``"l2"``.
    restarts
        Random starts, for images that are not yet adversarial.
    leave
        Whether an image leaves with its first adversarial point. Otherwise it goes on to the
        point of largest loss, as for attacks that are carried over to another model. See
        `AttackedModel.confirmed`.
    """

    steps: int = 100
    loss: str = "ce"
    norm: str = "linf"
    restarts: int = 1
    leave: bool = True
    quick: bool = False
    name: str = "apgd"
    protocol = "fixed"
    targeted = True

    def __post_init__(self) -> None:
        ball(self.norm)
        if self.loss not in LOSSES:
            raise ConfigurationError(f"expected a loss of {', '.join(LOSSES)}; got {self.loss!r}")
        if self.steps < 1 or self.restarts < 1:
            raise ConfigurationError(
                f"expected at least one step and one start, got {self.steps} and {self.restarts}"
            )

    @override
    def run(self, inputs: AttackInput) -> torch.Tensor:
        best = inputs.images.clone()
        left = torch.arange(len(best), device=best.device)
        largest = torch.full((len(best),), -torch.inf, device=best.device, dtype=best.dtype)
        for restart in range(self.restarts):
            part = inputs.select(left)
            points, losses, fooled = self._climb(part, restart)
            losses = losses.to(largest.dtype)  # a model may answer in another than its input's
            better = fooled | (losses > largest[left])
            best[left[better]], largest[left[better]] = points[better], losses[better]
            left = left[~fooled]
            if not len(left):
                break
        return best

    def _climb(
        self, inputs: AttackInput, restart: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the best points from one start, their losses, and which left as adversarial."""
        around, loss = ball(self.norm), LOSSES[self.loss]
        start = around.start(inputs, self.name, restart)
        share = inputs.model.share(0.0)
        logits, losses, gradient = inputs.ascend(start, loss, share=share)
        climb = _Climb(inputs, around, start, losses, gradient)
        points, largest = start.clone(), losses.clone()
        fooled = torch.zeros(len(start), dtype=torch.bool, device=start.device)
        active = torch.arange(len(start), device=start.device)
        checkpoints = _checkpoints(self.steps)
        for step in range(self.steps + 1):
            if step > 0:
                now = inputs.model.share(step / self.steps)
                if now != share:  # losses of other points do not compare
                    share = now
                    climb.go_on(*climb.inputs.ascend(climb.best, loss, share=share)[1:])
                climb.move()
                logits, losses, gradient = climb.inputs.ascend(climb.x, loss, share=share)
                climb.observe(losses, gradient)
            points[active], largest[active] = climb.best, climb.best_loss
            if self.leave:  # with the first adversarial point, whatever its loss
                hit = climb.inputs.confirmed(climb.x, logits, share)
                if hit.any():
                    points[active[hit]], fooled[active[hit]] = climb.x[hit], True
                    active = active[~hit]
                    climb.keep(~hit)
            if not len(active):
                break
            if step in checkpoints:
                climb.check(step - checkpoints[step])
        return points, largest, fooled


def _checkpoints(steps: int) -> dict[int, int]:
    """Return the steps at which the step size is reviewed, each with the one before it."""
    hundredths = [0, 22]  # whole numbers: as floats, 0.22 + 0.19 of 100 steps would be 42
    while hundredths[-1] + 6 <= 100:
        hundredths.append(hundredths[-1] + max(hundredths[-1] - hundredths[-2] - 3, 6))
    at = sorted({-(-share * steps // 100) for share in hundredths})
    return dict(zip(at[1:], at[:-1], strict=True))


class _Climb:
    """Where each image is on its way up."""

    def __init__(
        self,
        inputs: AttackInput,
        around: Ball,
        start: torch.Tensor,
        losses: torch.Tensor,
        gradient: torch.Tensor,
    ) -> None:
        self.inputs, self._ball = inputs, around
        self.x, self._before, self._first = start, start, True
        self.best, self.best_loss, self._best_gradient = start, losses, gradient
        self._loss, self._gradient, self._checked_loss = losses, gradient, losses
        shape = (len(start), *[1] * (start.ndim - 1))
        self._step = start.new_full(shape, 2 * inputs.epsilon)
        self._rises = torch.zeros(len(start), dtype=torch.int64, device=start.device)
        self._halved = torch.ones_like(self._rises, dtype=torch.bool)

    def observe(self, losses: torch.Tensor, gradient: torch.Tensor) -> None:
        """Take in loss and gradient at x."""
        self._rises += losses > self._loss
        better = losses > self.best_loss
        wide = better.view(self._step.shape)
        self.best = torch.where(wide, self.x, self.best)
        self._best_gradient = torch.where(wide, gradient, self._best_gradient)
        self.best_loss = torch.where(better, losses, self.best_loss)
        self._loss, self._gradient = losses, gradient

    def go_on(self, losses: torch.Tensor, gradient: torch.Tensor) -> None:
        """Start again from the best point, whose loss and gradient were taken anew."""
        self.x = self._before = self.best
        self.best_loss = self._loss = self._checked_loss = losses
        self._best_gradient = self._gradient = gradient
        self._first = True

    def move(self) -> None:
        """Take a step along the gradient, with momentum from the second one on."""
        images, epsilon = self.inputs.images, self.inputs.epsilon
        step = self._step * self._ball.steepest(self._gradient)
        x = self._ball.project(self.x + step, images, epsilon)
        if not self._first:
            x = self.x + _MOMENTUM * (x - self.x) + (1 - _MOMENTUM) * (self.x - self._before)
            x = self._ball.project(x, images, epsilon)
        self._before, self.x, self._first = self.x, x, False

    def check(self, interval: int) -> None:
        """Halve the step where the loss has not risen enough, and go back to the best point."""
        slow = self._rises < _RISING * interval
        stuck = ~self._halved & (self._checked_loss >= self.best_loss)
        halve = slow | stuck
        wide = halve.view(self._step.shape)
        self._step = torch.where(wide, self._step / 2, self._step)
        self.x = torch.where(wide, self.best, self.x)
        self._gradient = torch.where(wide, self._best_gradient, self._gradient)
        self._loss = torch.where(halve, self.best_loss, self._loss)
        self._halved, self._checked_loss = halve, self.best_loss
        self._rises = torch.zeros_like(self._rises)

    def keep(self, rows: torch.Tensor) -> None:
        """Go on with the images of ``rows``: [N] bool."""
        self.inputs = self.inputs.select(rows.nonzero().flatten())
        for name, value in vars(self).items():  # every tensor here has one row per image
            if isinstance(value, torch.Tensor):
                setattr(self, name, value[rows])
