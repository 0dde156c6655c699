"""Certificates for post-averaging: labels that provably hold within a radius.

`radii` turns a margin into a radius, `intervals` bounds means, `evidence` makes margins of
scores or votes, `doubt` gives up early, `certify` spends the samples.
"""

from bandlimiter.defence.certificates.certify import Certificate, certify
from bandlimiter.defence.certificates.intervals import betting_bound, clopper_pearson
from bandlimiter.defence.certificates.radii import (
    ball_distance,
    ball_radius,
    certified_radius,
    gaussian_radius,
)

__all__ = [
    "Certificate",
    "ball_distance",
    "ball_radius",
    "betting_bound",
    "certified_radius",
    "certify",
    "clopper_pearson",
    "gaussian_radius",
]
