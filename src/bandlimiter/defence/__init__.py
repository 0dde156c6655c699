"""Post-averaging: a classifier that answers with its average over a neighbourhood."""

from bandlimiter.defence.certificates import Answer, Certificate, certify
from bandlimiter.defence.post_average import PostAverage, Stop
from bandlimiter.defence.prediction import Prediction
from bandlimiter.defence.tuning import (
    DirectionsChoice,
    RadiusChoice,
    choose_directions,
    tune_radius,
)
from bandlimiter.defence.votes import VOTES, Vote, register_vote

__all__ = [
    "VOTES",
    "Answer",
    "Certificate",
    "DirectionsChoice",
    "PostAverage",
    "Prediction",
    "RadiusChoice",
    "Stop",
    "Vote",
    "certify",
    "choose_directions",
    "register_vote",
    "tune_radius",
]
