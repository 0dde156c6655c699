"""Choice of the radius and of K on clean images: what averaging may cost, without any attack.

`measuring` compares a defence with its plain model, `search` finds the largest radius,
`radius` and `directions` are what users call, `caveats` says where the images were too few.
"""

from bandlimiter.defence.tuning.directions import (
    DirectionsChoice,
    DirectionsPoint,
    choose_directions,
)
from bandlimiter.defence.tuning.measuring import Answers
from bandlimiter.defence.tuning.radius import RadiusChoice, tune_radius
from bandlimiter.defence.tuning.search import RadiusPoint

__all__ = [
    "Answers",
    "DirectionsChoice",
    "DirectionsPoint",
    "RadiusChoice",
    "RadiusPoint",
    "choose_directions",
    "tune_radius",
]
