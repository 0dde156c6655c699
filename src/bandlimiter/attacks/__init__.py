"""Attacks, and the base that grades them."""

from bandlimiter.attacks.apgd import APGD
from bandlimiter.attacks.base import Attack, AttackResult, Problem
from bandlimiter.attacks.cascade import CascadeResult, run_cascade
from bandlimiter.attacks.pgd import PGD, MinimalPGD
from bandlimiter.attacks.registry import ATTACKS, PROTOCOLS, build_attack
from bandlimiter.attacks.square import Square
from bandlimiter.attacks.target import Randomness, Target
from bandlimiter.attacks.transferred import Transferred

__all__ = [
    "APGD",
    "ATTACKS",
    "PGD",
    "PROTOCOLS",
    "Attack",
    "AttackResult",
    "CascadeResult",
    "MinimalPGD",
    "Problem",
    "Randomness",
    "Square",
    "Target",
    "Transferred",
    "build_attack",
    "run_cascade",
]
