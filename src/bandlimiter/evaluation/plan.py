"""What a run does: models, images, what is attacked by what, and the shards that it is cut into."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bandlimiter.attacks import Attack, require_targeted
from bandlimiter.data import ImageSet, ImagesLike, as_images
from bandlimiter.defence import PostAverage, Stop
from bandlimiter.errors import ConfigurationError
from bandlimiter.evaluation.adaptive import Adaptive, smallest_budget
from bandlimiter.evaluation.attack_spec import AttackSpec
from bandlimiter.evaluation.precision import Precision, resolve_precision
from bandlimiter.evaluation.targets import Targets, resolve_targets
from bandlimiter.evaluation.validation import (
    require_names,
    require_number,
    require_protocol,
    require_ready,
    resolve_attacks,
    resolve_stop,
    resolve_threat,
)
from bandlimiter.results import NONE, OURS
from bandlimiter.results.runs import Shard, run_name
from bandlimiter.tensors import ChunkLimit, place_of

# Small enough that rows come while a person waits and little is lost when a machine dies,
# large enough that passes stay full: in float32 a CPU gains nothing from 30 images per pass on,
# and fast copies gain up to 100 (images leave an attack one by one, so that most passes are
# smaller).
_MOST_IMAGES_PER_SHARD = {
    "cpu": {"float32": 25, "auto": 100},
    "cuda": {"float32": 250, "auto": 1000},
}

EXAMPLES = 2
"""Images to show, per attack and slice."""

CHECKS = "inspection"
"""The plan item that looks for signs of weak attacks; its shard has no rows."""

_CHECKED = 100
"""Among how many images at most the checks look for some that models have right."""


@dataclass(frozen=True)
class PlanItem:
    """One attack on every image.

    Attributes
    ----------
    name
        In shards' names; unique in a plan.
    spec
        How rows describe the attack.
    defences
        Whose rows it gives, in order.
    attack
        On the plain model; None where ``defences`` is the one that is attacked itself.
    """

    name: str
    spec: AttackSpec
    defences: tuple[str, ...]
    attack: Attack | None = None


@dataclass(frozen=True)
class Plan:
    """All that a run's rows depend on, resolved, and how the work is cut; see `evaluate`.

    Attributes
    ----------
    kind
        What sort of run it is: ``evaluation``, ``attacks`` or ``answers``.
    baselines
        Names of other defences that are built.
    others
        More defences by name.
    adaptive
        None where nothing attacks the defences.
    targets
        None where attacks are untargeted.
    kept
        Whether there is a folder, to which a later command may come back.
    keep_images, examples
        What is kept beside rows: all adversarial images; a few images to show per attack and slice.
    shard_images
        How many images a shard has.
    facts
        What the result's document says of how it was made.
    """

    kind: str
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
    precision: Precision
    baselines: tuple[str, ...]
    others: Mapping[str, nn.Module]
    kept: bool
    keep_images: bool
    examples: int
    targets: Targets | None
    shard_images: int
    facts: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def defences(self) -> list[str]:
        """Names of the defences under test, the run's own first; `NONE` where it is attacked."""
        attacked = [] if self.adaptive is None else [NONE]
        return [OURS, *self.others, *self.baselines, *attacked]

    @cached_property
    def items(self) -> list[PlanItem]:
        """Attacks on the plain model, shown to every defence; then those on each defence itself."""
        shown = tuple(name for name in self.defences if name != NONE)
        items = [
            PlanItem(
                _named(i, f"{attack.name}-{attack.protocol}"), AttackSpec.of(attack), shown, attack
            )
            for i, attack in enumerate(self.attacks)
        ]
        if self.adaptive is None:
            return items
        specs = [self.adaptive.cascade_spec(self.quick)]
        if self.adaptive.curve:
            specs.append(AttackSpec.of(smallest_budget(self.quick), "adaptive"))
        return items + [
            PlanItem(_named(len(items) + i, f"{spec.name}-on-{name}"), spec, (name,))
            for i, name in enumerate(self.defences)
            for spec in specs
        ]

    @cached_property
    def shards(self) -> list[Shard]:
        """All items on the first images, then on the next; the checks after the first images.

        The order lets a worker use a slice's clean answers for all items, the checks included, and
        lets rows of every attack come early.
        """
        count, size = len(self.images), self.shard_images
        slices = [range(start, min(start + size, count)) for start in range(0, count, size)]
        first, *rest = (
            [Shard(f"{number:04d}-{item.name}", item.name, tuple(part)) for item in self.items]
            for number, part in enumerate(slices)
        )
        return [*first, self.checks, *(shard for part in rest for shard in part)]

    @property
    def _stages(self) -> list[Attack]:
        return [] if self.adaptive is None else self.adaptive.attacks(quick=self.quick)

    @property
    def checks(self) -> Shard:
        """The shard that looks for signs of weak attacks."""
        return Shard(CHECKS, CHECKS, tuple(range(min(len(self.images), _CHECKED))))

    def item(self, shard: Shard) -> PlanItem:
        """Return the item that a shard is of; not of the checks'."""
        return next(item for item in self.items if item.name == shard.item)

    def identity(self, threads: int) -> dict[str, Any]:
        """Return all that the rows depend on, as JSON holds it; what names the run.

        Parameters
        ----------
        threads
            Of each worker: sums are taken in another order with another number.
        """
        # What is not kept needs no name, and no hashes.
        from bandlimiter.evaluation.fingerprints import (
            of_attack,
            of_code,
            of_images,
            of_module,
            of_place,
        )

        modules = {"model": self.model, OURS: self.defence, **self.others}
        like = self.images.images(0, 1).shape  # not the image itself, which may end the process
        return {
            "kind": self.kind,
            "shard_images": self.shard_images,
            **{f"module {name}": of_module(module, like) for name, module in modules.items()},
            "images": of_images(self.images),
            "attacks": [of_attack(attack) for attack in self.attacks],
            "adaptive": None if self.adaptive is None else self.adaptive.settings(self.quick),
            "stages": [of_attack(attack) for attack in self._stages],
            "targets": None if self.targets is None else self.targets.description,
            "defences": self.defences,
            "epsilon": self.epsilon,
            "seed": self.seed,
            "quick": self.quick,
            "stop": self.stop,
            "alpha": self.alpha if self.stop == "anytime" else None,
            "precision": self.precision,
            "keep_images": self.keep_images,
            "examples": self.examples,
            "threads": threads,
            **of_place(self.model),
            **of_code(),
        }

    def name(self, threads: int) -> str:
        """Return the name of the run's folder, such as ``attacks-3f9a2c1b77d0``."""
        return run_name(self.kind, self.identity(threads))


def make_plan(
    model: nn.Module,
    defence: nn.Module,
    data: ImagesLike,
    attacks: Sequence[str | Attack],
    *,
    protocol: str,
    epsilon: float,
    threat: str,
    adaptive: Adaptive | None = None,
    baselines: Sequence[str] = (),
    others: Mapping[str, nn.Module] | None = None,
    seed: int = 0,
    quick: bool = False,
    stop: str = "auto",
    alpha: float = 1e-3,
    precision: str = "auto",
    save_adversarial: bool = False,
    shard_images: int | None = None,
    settings: dict[str, Any] | None = None,
    kept: bool = True,
    examples: int = EXAMPLES,
    targets: str | Path | torch.Tensor | None = None,
    kind: str = "evaluation",
) -> Plan:
    """Resolve and check what `evaluate` was asked for.

    ``kept`` says whether there is a folder; without one there are no examples.
    """
    require_names(others or {}, baselines)
    require_ready(model, {"defence": defence, **(others or {})})
    require_protocol(protocol)
    early = resolve_stop(defence, stop, alpha)
    resolved_precision = resolve_precision(precision)
    epsilon = require_number(epsilon)
    images = as_images(data)
    first = images.images(0, 1)
    resolved = resolve_threat(threat, adaptive, epsilon, first.shape[1:])
    if quick and resolved is not None:
        resolved = resolved.quickened()
    if save_adversarial and not kept:
        raise ConfigurationError("expected a folder (out) to save adversarial images to")
    chosen = [] if threat == "adaptive" else resolve_attacks(attacks, protocol, quick)
    wanted = None if targets is None else resolve_targets(targets, images)
    if wanted is not None:
        require_targeted(chosen)
    facts = {
        **(settings or {}),
        **(defence.settings if isinstance(defence, PostAverage) else {}),
        "stop": early,
        "alpha": alpha if early == "anytime" else None,
        "precision": precision,
        "attacks": [f"{attack.name}/{attack.protocol}" for attack in chosen],
        "quick": quick,
        "epsilon": epsilon,
        "protocol": protocol,
        "threat": threat,
        "adaptive": None if resolved is None else resolved.settings(quick),
        "targets": None if wanted is None else wanted.description,
        "baselines": list(baselines),
        "rivals": list(baselines),  # their name before; kept for one version
        "others": list(others or {}),
        "variants": {
            name: module.settings
            for name, module in (others or {}).items()
            if isinstance(module, PostAverage)
        },
        "seed": seed,
    }
    return Plan(
        kind,
        model,
        defence,
        images,
        tuple(chosen),
        resolved,
        epsilon=epsilon,
        seed=seed,
        quick=quick,
        stop=early,
        alpha=alpha,
        precision=resolved_precision,
        baselines=tuple(baselines),
        others=dict(others or {}),
        kept=kept,
        keep_images=save_adversarial,
        examples=examples if kept else 0,
        targets=wanted,
        shard_images=_shard_size(shard_images, first, model, resolved_precision),
        facts=facts,
    )


def _shard_size(
    asked: int | None, first: torch.Tensor, model: nn.Module, precision: Precision
) -> int:
    if asked is not None and asked < 1:
        raise ConfigurationError(f"expected at least one image per shard, got {asked}")
    kind = place_of(model)[0].type
    most = _MOST_IMAGES_PER_SHARD.get(kind, _MOST_IMAGES_PER_SHARD["cpu"])[precision]
    return asked or min(most, ChunkLimit("auto").resolve(first))


def _named(number: int, name: str) -> str:
    return f"{number:02d}-{re.sub(r'[^A-Za-z0-9_.-]+', '_', name)}"
