"""Attacks, and the base that grades them."""

from bandlimiter.attacks.answers import Randomness
from bandlimiter.attacks.apgd import APGD
from bandlimiter.attacks.base import Attack, AttackResult, require_targeted
from bandlimiter.attacks.cascade import CascadeResult, run_cascade
from bandlimiter.attacks.goals import Goal
from bandlimiter.attacks.pgd import PGD, MinimalPGD
from bandlimiter.attacks.problem import Problem
from bandlimiter.attacks.registry import ATTACKS, PROTOCOLS, build_attack
from bandlimiter.attacks.square import Square
from bandlimiter.attacks.target import Target
from bandlimiter.attacks.transferred import Transferred

__all__ = [
    "APGD",
    "ATTACKS",
    "PGD",
    "PROTOCOLS",
    "Attack",
    "AttackResult",
    "CascadeResult",
    "Goal",
    "MinimalPGD",
    "Problem",
    "Randomness",
    "Square",
    "Target",
    "Transferred",
    "build_attack",
    "require_targeted",
    "run_cascade",
]
