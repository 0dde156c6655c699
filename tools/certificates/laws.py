"""Laws of a network's answers at noisy points, made to mislead a certificate.

A law says with which probability a point answers what: K answers, each a share for every class.
The radii tested are multiples of sigma, and most laws lie exactly at the bar of one of them, where
a test that errs at all errs most.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandlimiter.defence.certificates import bar

Floats = NDArray[np.float64]

RADII = (0.0, 0.25, 0.5, 1.0, 1.5, 3.0)
"""In sigmas."""

BARS = bar("gaussian", RADII, 1.0, 2)


@dataclass(frozen=True)
class Law:
    """``answers`` [K, C] come with the probabilities ``chances`` [K]."""

    name: str
    chances: Floats
    answers: Floats
    votes: bool

    def mean(self, label: int) -> float:
        """Return what the bars are compared with: the label's votes, or its least mean gain."""
        means = self.chances @ self.answers
        if self.votes:
            return float(means[label])
        return float((1 + means[label] - np.delete(means, label).max()) / 2)


def votes(name: str, *chances: float) -> Law:
    """Return a law of votes; what is missing to 1 goes to one more class."""
    rest = 1 - sum(chances)
    every = np.array([*chances, rest] if rest > 1e-12 else chances)
    return Law(name, every, np.eye(len(every)), votes=True)


def gains(name: str, mean: float, low: float, high: float) -> Law:
    """Return a law of scores for two classes, whose gain is ``low`` or ``high``."""
    chance = (mean - low) / (high - low)
    answers = np.array([[high, 1 - high], [low, 1 - low]])
    return Law(name, np.array([chance, 1 - chance]), answers, votes=False)


def three(name: str, mean: float) -> Law:
    """Return a law of scores where one of two other classes takes all, both with this mean gain."""
    lost = (1 - mean) / 1.5
    return Law(name, np.array([1 - 2 * lost, lost, lost]), np.eye(3), votes=False)


LAWS = (
    votes("a tie of two", 0.5),
    votes("near tie, below 1/2", 0.4999, 0.4998),
    votes("thirty classes, first at 1/2", 0.5, *[0.5 / 29] * 29),
    votes("thirty classes, far below", 0.1, *[0.9 / 29] * 29),
    votes("at R = sigma / 4", BARS[1]),
    votes("below R = sigma / 2 by 1e-4", BARS[2] - 1e-4),
    votes("above R = sigma / 2 by 0.02", BARS[2] + 0.02),
    votes("at R = sigma", BARS[3]),
    votes("between R = sigma and 1.5", 0.9),
    votes("at R = 1.5 sigma", BARS[4]),
    votes("at R = 3 sigma: rare losses", BARS[5]),
    gains("scores in a U at sigma / 2", BARS[2], 0.01, 0.99),
    gains("scores in a U, above by 0.04", BARS[2] + 0.04, 0.01, 0.99),
    gains("scores, narrow, at sigma / 4", BARS[1], BARS[1] - 0.02, BARS[1] + 0.02),
    gains("scores, rare losses, at 1.5", BARS[4], 0.0, 0.95),
    three("scores of three, at sigma / 2", BARS[2]),
)
