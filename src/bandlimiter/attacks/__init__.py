"""Attacks, and the base that grades them."""

from bandlimiter.attacks.base import Attack, AttackResult, Problem
from bandlimiter.attacks.registry import ATTACKS, PROTOCOLS, build_attack
from bandlimiter.attacks.target import Target

__all__ = [
    "ATTACKS",
    "PROTOCOLS",
    "Attack",
    "AttackResult",
    "Problem",
    "Target",
    "build_attack",
]
