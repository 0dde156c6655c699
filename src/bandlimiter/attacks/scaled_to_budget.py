"""What a minimal attack becomes when it may spend the whole budget."""

import torch
from typing_extensions import override

from bandlimiter.attacks.attack_input import AttackInput
from bandlimiter.attacks.base import Attack
from bandlimiter.attacks.kept_searches import candidates_of


class ScaledToBudget(Attack):
    """The direction that a minimal attack finds, followed to the full L-inf budget.

    Each perturbation is scaled so that its largest change of a pixel is epsilon, also where
    it was larger; the base clips to [0, 1].
    An image that the search leaves unchanged stays as it is.

    Parameters
    ----------
    search
        The attack that finds the direction.
    """

    protocol = "fixed"

    def __init__(self, search: Attack) -> None:
        self.search = search
        self.name = search.name
        self.quick, self.targeted = search.quick, search.targeted
        self.few_gradients = search.few_gradients
        self.needs_gradient, self.image_axes = search.needs_gradient, search.image_axes

    @override
    def run(self, inputs: AttackInput) -> torch.Tensor:
        images, found = inputs.images, candidates_of(self.search, inputs)
        difference = found - images
        length = difference.flatten(1).abs().amax(dim=1).view(-1, *[1] * (images.ndim - 1))
        factor = torch.where(length > 0, inputs.epsilon / length.clamp_min(1e-30), 0)
        return images + factor * difference
