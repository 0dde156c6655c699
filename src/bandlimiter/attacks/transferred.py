"""An attack that runs on one model and is judged on another."""

from dataclasses import replace

import torch
from typing_extensions import override

from bandlimiter.attacks.base import Attack
from bandlimiter.attacks.problem import Problem
from bandlimiter.attacks.target import Target


class Transferred(Attack):
    """Attacks ``source``, whatever target it is given: what a defence gets to see from outside.

    Only images that the source classifies correctly are attacked; others stay as they are.

    Parameters
    ----------
    attack
        Runs on the source. One that spends the whole budget and goes on after its first
        success carries over best.
    source
        For example the plain model under a defence.
    """

    def __init__(self, attack: Attack, source: Target) -> None:
        self._attack, self._source = attack, source
        self.name, self.protocol = "transfer", attack.protocol
        self.norm, self.quick, self.targeted = attack.norm, attack.quick, attack.targeted

    @override
    def run(self, problem: Problem) -> torch.Tensor:
        candidates = problem.images.clone()
        right = self._source.predict(problem.images, problem.ids) == problem.labels
        index = right.nonzero().flatten()
        if len(index):
            part = replace(problem.select(index), target=self._source)
            candidates[index] = self._attack.run(part)
        return candidates
