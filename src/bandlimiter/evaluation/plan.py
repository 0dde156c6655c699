"""From what a caller asks for to what will be done: resolved, checked, cut into shards."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bandlimiter.attacks import Attack, require_targeted
from bandlimiter.data import Given, as_images
from bandlimiter.defence import PostAverage
from bandlimiter.errors import ConfigurationError
from bandlimiter.evaluation.adaptive import Adaptive
from bandlimiter.evaluation.preflight import (
    require_names,
    require_number,
    require_protocol,
    require_ready,
    resolve_attacks,
    resolve_stop,
    resolve_threat,
)
from bandlimiter.evaluation.programme import cut
from bandlimiter.evaluation.setup import Setup
from bandlimiter.evaluation.targets import resolve_targets
from bandlimiter.results.runs import Shard, run_name
from bandlimiter.tensors import ChunkLimit, place_of

# Small enough that rows come while a person waits and little is lost when a machine dies,
# large enough that passes stay full: from 30 images a pass on, a CPU gains nothing.
_MOST_IMAGES_A_SHARD = {"cpu": 25, "cuda": 250}

EXHIBITS = 2
"""Images to show, an attack and slice."""


@dataclass(frozen=True)
class Plan:
    """A run before it is done.

    Attributes
    ----------
    kind
        What sort of run it is: ``evaluation``, ``attacks`` or ``answers``.
    setup
        Everything that rows depend on.
    shard_images
        How many images a shard has.
    shards
        The pieces that it is done in.
    facts
        What the result's document says of how it was made.
    """

    kind: str
    setup: Setup
    shard_images: int
    shards: list[Shard]
    facts: dict[str, Any]

    def identity(self, threads: int) -> dict[str, Any]:
        """Return all that changes results; see `Setup.identity`."""
        own = {"kind": self.kind, "shard_images": self.shard_images}
        return {**own, **self.setup.identity(threads)}

    def name(self, threads: int) -> str:
        """Return the name of the run's folder, such as ``attacks-3f9a2c1b77d0``."""
        return run_name(self.kind, self.identity(threads))


def plan_run(
    model: nn.Module,
    defence: nn.Module,
    data: Given,
    attacks: Sequence[str | Attack],
    *,
    protocol: str,
    epsilon: float,
    threat: str,
    adaptive: Adaptive | None = None,
    rivals: Sequence[str] = (),
    others: Mapping[str, nn.Module] | None = None,
    seed: int = 0,
    quick: bool = False,
    stop: str = "auto",
    alpha: float = 1e-3,
    save_adversarial: bool = False,
    shard_images: int | None = None,
    settings: dict[str, Any] | None = None,
    kept: bool = True,
    exhibits: int = EXHIBITS,
    targets: str | Path | torch.Tensor | None = None,
    kind: str = "evaluation",
) -> Plan:
    """Resolve and check what `evaluate` was asked for.

    ``kept`` says whether there is a folder; without one nothing is exhibited.
    """
    require_names(others or {}, rivals)
    require_ready(model, {"defence": defence, **(others or {})})
    require_protocol(protocol)
    early = resolve_stop(defence, stop, alpha)
    epsilon = require_number(epsilon)
    images = as_images(data)
    first = images.images(0, 1)
    knowing = resolve_threat(threat, adaptive or Adaptive(), epsilon, first.shape[1:])
    if quick and knowing is not None:
        knowing = knowing.quickened()
    if save_adversarial and not kept:
        raise ConfigurationError("expected a folder (out) to save adversarial images to")
    chosen = [] if threat == "adaptive" else resolve_attacks(attacks, protocol, quick)
    wanted = resolve_targets(targets, images)
    if wanted is not None:
        require_targeted(chosen)
    setup = Setup(
        model,
        defence,
        images,
        tuple(chosen),
        knowing,
        epsilon=epsilon,
        seed=seed,
        quick=quick,
        stop=early,
        alpha=alpha,
        rivals=tuple(rivals),
        others=dict(others or {}),
        keep_images=save_adversarial,
        exhibits=exhibits if kept else 0,
        targets=wanted,
    )
    size = _shard_size(shard_images, first, model)
    facts = {**(settings or {}), **_facts(setup, protocol, threat)}
    return Plan(kind, setup, size, cut(setup.entries, len(images), size), facts)


def _facts(setup: Setup, protocol: str, threat: str) -> dict[str, Any]:
    defence, knowing = setup.defence, setup.adaptive
    return {
        **(defence.settings if isinstance(defence, PostAverage) else {}),
        "stop": setup.stop,
        "alpha": setup.alpha if setup.stop == "anytime" else None,
        "attacks": [f"{attack.name}/{attack.protocol}" for attack in setup.attacks],
        "quick": setup.quick,
        "epsilon": setup.epsilon,
        "protocol": protocol,
        "threat": threat,
        "adaptive": None if knowing is None else asdict(knowing),
        "targets": None if setup.targets is None else setup.targets.description,
        "rivals": list(setup.rivals),
        "others": list(setup.others),
        "seed": setup.seed,
    }


def _shard_size(asked: int | None, first: torch.Tensor, model: nn.Module) -> int:
    if asked is not None and asked < 1:
        raise ConfigurationError(f"expected at least one image a shard, got {asked}")
    kind = place_of(model)[0].type
    most = _MOST_IMAGES_A_SHARD.get(kind, _MOST_IMAGES_A_SHARD["cpu"])
    return asked or min(most, ChunkLimit("auto").resolve(first))
