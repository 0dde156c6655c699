"""Certificates for post-averaging: labels that provably hold within a radius.

`noise` draws on a lattice, so that theorems hold in floating point, `radii` says what a label's
mean has to exceed at a radius, `sequential` tests that sample by sample, `certify` spends the
samples.
"""

import warnings
from typing import Any

from bandlimiter.defence.certificates.certify import Answer, Certificate, certify, reach
from bandlimiter.defence.certificates.many_votes import ManyVotes
from bandlimiter.defence.certificates.noise import BallNoise, GaussianNoise, Lattice, lattice_for
from bandlimiter.defence.certificates.radii import (
    ball_distance,
    ball_radius,
    bar,
    certified_radius,
    gaussian_radius,
    noise_length,
)
from bandlimiter.defence.certificates.sequential import highest_bar, log_abstention, log_capital

__all__ = [
    "Answer",
    "BallNoise",
    "Certificate",
    "GaussianNoise",
    "Lattice",
    "ManyVotes",
    "ball_distance",
    "ball_radius",
    "bar",
    "certified_radius",
    "certify",
    "gaussian_radius",
    "highest_bar",
    "lattice_for",
    "log_abstention",
    "log_capital",
    "noise_length",
    "reach",
]


def __getattr__(name: str) -> Any:
    if name == "log_doubt":
        message = "bandlimiter.defence.certificates.log_doubt is called log_abstention now"
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        return log_abstention
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
