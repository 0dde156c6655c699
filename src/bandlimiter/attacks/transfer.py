"""An attack that runs on one model and is judged on another."""

from dataclasses import replace

import torch
from typing_extensions import override

from bandlimiter.attacks.attack_input import AttackInput
from bandlimiter.attacks.attacked_model import AttackedModel
from bandlimiter.attacks.base import Attack


class TransferAttack(Attack):
    """Attacks ``source``, whatever model it is given: what a defence gets to see from outside.

    Only images that the source classifies correctly are attacked; others stay as they are.

    Parameters
    ----------
    attack
        Runs on the source. One that spends the whole budget and goes on after its first
        success carries over best.
    source
        For example the plain model under a defence.
    """

    def __init__(self, attack: Attack, source: AttackedModel) -> None:
        self._attack, self._source = attack, source
        self.name, self.protocol = "transfer", attack.protocol
        self.norm, self.quick, self.targeted = attack.norm, attack.quick, attack.targeted
        self.needs_gradient, self.image_axes = attack.needs_gradient, attack.image_axes

    @override
    def run(self, inputs: AttackInput) -> torch.Tensor:
        candidates = inputs.images.clone()
        right = self._source.predict(inputs.images, inputs.ids) == inputs.labels
        index = right.nonzero().flatten()
        if len(index):
            part = replace(inputs.select(index), model=self._source)
            candidates[index] = self._attack.run(part)
        return candidates
