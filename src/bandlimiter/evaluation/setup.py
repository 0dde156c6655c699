"""Everything that an evaluation depends on, resolved: what a worker builds its bench from."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import nn

from bandlimiter.attacks import Attack
from bandlimiter.data import ImageSet
from bandlimiter.defence import PostAverage, Stop
from bandlimiter.evaluation.adaptive import Adaptive
from bandlimiter.evaluation.fingerprints import of_attack, of_code, of_images, of_place
from bandlimiter.evaluation.programme import Entry, programme
from bandlimiter.evaluation.targets import Targets
from bandlimiter.evaluation.values import changing, hash_of
from bandlimiter.results import NONE, OURS
from bandlimiter.tensors import generator, model_logits, place_of


@dataclass(frozen=True)
class Setup:
    """Models, images, attacks and rules of a run; see `evaluate` for what they mean.

    ``others`` are more defences by name, ``rivals`` names of some that are built; ``adaptive``
    is None where nothing attacks the defences, ``targets`` where attacks are untargeted;
    ``keep_images`` and ``exhibits`` (images to show, an attack and slice) say what is kept
    beside rows.
    """

    model: nn.Module
    defence: nn.Module
    images: ImageSet
    attacks: tuple[Attack, ...]
    adaptive: Adaptive | None
    epsilon: float
    seed: int
    quick: bool
    stop: Stop
    alpha: float
    rivals: tuple[str, ...] = ()
    others: Mapping[str, nn.Module] = field(default_factory=dict)
    keep_images: bool = False
    exhibits: int = 0
    targets: Targets | None = None

    @property
    def defences(self) -> list[str]:
        """The names of all that stand trial, the run's own first."""
        faced = [] if self.adaptive is None else [NONE]
        return [OURS, *self.others, *self.rivals, *faced]

    @property
    def entries(self) -> list[Entry]:
        """What is tried."""
        return programme(self.attacks, self.adaptive, self.defences, quick=self.quick)

    def identity(self, threads: int) -> dict[str, Any]:
        """Return all that the rows depend on, as JSON holds it; what names the run.

        Parameters
        ----------
        threads
            Of each worker: sums are taken in another order with another number.
        """
        modules = {"model": self.model, OURS: self.defence, **self.others}
        return {
            **{f"module {name}": self._hash(module) for name, module in modules.items()},
            "images": of_images(self.images),
            "attacks": [of_attack(attack) for attack in self.attacks],
            "adaptive": None if self.adaptive is None else asdict(self.adaptive),
            "targets": None if self.targets is None else self.targets.description,
            "defences": self.defences,
            "epsilon": self.epsilon,
            "seed": self.seed,
            "quick": self.quick,
            "stop": self.stop,
            "alpha": self.alpha if self.stop == "anytime" else None,
            "keep_images": self.keep_images,
            "exhibits": self.exhibits,
            "threads": threads,
            **of_place(self.model),
            **of_code(),
        }

    def _hash(self, module: nn.Module) -> str:
        inside = module.model if isinstance(module, PostAverage) else module
        shape = self.images.images(0, 1).shape  # not the image itself, which may end the process
        x = torch.rand(shape, generator=generator(0, "identity"))

        def run(inputs: torch.Tensor) -> None:
            device, dtype = place_of(inside)
            devices = [device] if device.type == "cuda" else []
            with torch.no_grad(), torch.random.fork_rng(devices):  # chance is left as it was
                model_logits(inside, inputs.to(device, dtype))

        return hash_of(module, frozenset(changing(inside, run, x)))
