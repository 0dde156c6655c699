"""Post-averaging: a classifier that answers with its average over a neighbourhood."""

from importlib import import_module
from typing import TYPE_CHECKING

from bandlimiter.defence.votes import VOTES, Vote, register_vote

if TYPE_CHECKING:
    from bandlimiter.defence.certificates import Answer, Certificate, certify
    from bandlimiter.defence.post_average import PostAverage, Stop
    from bandlimiter.defence.prediction import Prediction
    from bandlimiter.defence.tuning import (
        DirectionsChoice,
        RadiusChoice,
        choose_directions,
        tune_radius,
    )

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

_HOMES = {
    "Answer": "certificates",
    "Certificate": "certificates",
    "DirectionsChoice": "tuning",
    "PostAverage": "post_average",
    "Prediction": "prediction",
    "RadiusChoice": "tuning",
    "Stop": "post_average",
    "certify": "certificates",
    "choose_directions": "tuning",
    "tune_radius": "tuning",
}


def __getattr__(name: str) -> object:
    # Late, so that help texts, which are written from the votes, do not wait for torch.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
