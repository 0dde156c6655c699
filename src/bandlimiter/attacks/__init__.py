"""Attacks, and the base that grades them."""

import warnings
from importlib import import_module
from typing import TYPE_CHECKING

from bandlimiter.attacks import known_attacks as _entries  # noqa: F401  (fills ATTACKS)
from bandlimiter.attacks.registration import (
    ATTACKS,
    PROTOCOLS,
    RegisteredAttack,
    Stage,
    StageSettings,
    attack_names,
    build_attack,
    default_names,
    register_attack,
    stage_names,
)

if TYPE_CHECKING:
    from bandlimiter.attacks.apgd import APGD
    from bandlimiter.attacks.attack_input import AttackInput
    from bandlimiter.attacks.attacked_model import AttackedModel, GradientPoints
    from bandlimiter.attacks.base import Attack, AttackResult, require_targeted
    from bandlimiter.attacks.cascade import CascadeResult, run_cascade
    from bandlimiter.attacks.goals import Goal
    from bandlimiter.attacks.mean_over_draws import Randomness
    from bandlimiter.attacks.pgd import PGD, MinimalPGD
    from bandlimiter.attacks.square import Square
    from bandlimiter.attacks.transfer import TransferAttack

__all__ = [
    "APGD",
    "ATTACKS",
    "PGD",
    "PROTOCOLS",
    "Attack",
    "AttackInput",
    "AttackResult",
    "AttackedModel",
    "CascadeResult",
    "Goal",
    "GradientPoints",
    "MinimalPGD",
    "Randomness",
    "RegisteredAttack",
    "Square",
    "Stage",
    "StageSettings",
    "TransferAttack",
    "attack_names",
    "build_attack",
    "default_names",
    "register_attack",
    "require_targeted",
    "run_cascade",
    "stage_names",
]

_HOMES = {
    "APGD": "apgd",
    "PGD": "pgd",
    "Attack": "base",
    "AttackInput": "attack_input",
    "AttackResult": "base",
    "AttackedModel": "attacked_model",
    "CascadeResult": "cascade",
    "Goal": "goals",
    "GradientPoints": "attacked_model",
    "MinimalPGD": "pgd",
    "Randomness": "mean_over_draws",
    "Square": "square",
    "TransferAttack": "transfer",
    "require_targeted": "base",
    "run_cascade": "cascade",
}
_RENAMED = {
    "Problem": "AttackInput",
    "Target": "AttackedModel",
    "Transferred": "TransferAttack",
}


def __getattr__(name: str) -> object:
    # Late, so that help texts, which are written from the registry, do not wait for torch.
    if name in _RENAMED:
        new = _RENAMED[name]
        warnings.warn(
            f"bandlimiter.attacks.{name} is called {new} now", DeprecationWarning, stacklevel=2
        )
        name = new
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
