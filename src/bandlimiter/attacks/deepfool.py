"""DeepFool (Moosavi-Dezfooli et al. 2016): step to the nearest linearised boundary."""

from dataclasses import dataclass

import torch
from typing_extensions import override

from bandlimiter.attacks.attack_input import AttackInput
from bandlimiter.attacks.base import Attack


@dataclass(frozen=True)
class MinimalDeepFool(Attack):
    """DeepFool in L2, with Foolbox 1.8's settings.

    ``candidates`` classes, the most likely at the clean image; up to ``steps`` steps, each
    ``overshoot`` times the distance to the closest boundary of the linearised network
    (1.05: five per cent too far, at each step rather than once at the end).
    """

    steps: int = 100
    candidates: int = 10
    overshoot: float = 1.05
    quick: bool = False
    name = "deepfool"
    protocol = "minimal"
    few_gradients = True

    @override
    def run(self, inputs: AttackInput) -> torch.Tensor:
        model, labels = inputs.model, inputs.labels
        x = inputs.images.clone()
        runners_up = _runners_up(inputs.logits(x), labels, self.candidates)
        active = torch.arange(len(x), device=x.device)
        for _ in range(self.steps):
            names = [inputs.ids[i] for i in active.tolist()]
            margins, gradients = model.margin_gradients(
                x[active], labels[active], runners_up[active], names
            )
            left = (margins < 0).all(dim=1)  # an image leaves when a runner-up has caught up
            active, margins, gradients = active[left], margins[left], gradients[left]
            if not len(active):
                break
            x[active] = (x[active] + self.overshoot * _step(margins, gradients)).clamp(0, 1)
        return inputs.pushed_over(x)


def _runners_up(logits: torch.Tensor, labels: torch.Tensor, candidates: int) -> torch.Tensor:
    """[N, R] the most likely classes, without the label."""
    ranked = logits.argsort(dim=1, descending=True, stable=True)
    others = ranked[ranked != labels[:, None]].view(len(labels), -1)
    return others[:, : candidates - 1]


def _step(margins: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
    """The shortest L2 step to a linearised boundary: margins [N, R], gradients [N, R, ...]."""
    flat = gradients.flatten(2)
    # 1e-8, as Foolbox adds it, keeps a vanishing gradient from dividing by zero.
    norms = torch.linalg.vector_norm(flat, dim=2) + 1e-8
    nearest = (margins.abs() / norms).argmin(dim=1)
    rows = torch.arange(len(margins), device=margins.device)
    length = margins.abs()[rows, nearest] / norms[rows, nearest] ** 2
    step: torch.Tensor = length[:, None] * flat[rows, nearest]
    return step.view_as(gradients[:, 0])
