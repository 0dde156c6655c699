"""Post-averaging: a classifier that answers with its average over a neighbourhood."""

from bandlimiter.defence.post_average import PostAverage, Stop
from bandlimiter.defence.prediction import Prediction
from bandlimiter.defence.votes import VOTES

__all__ = ["VOTES", "PostAverage", "Prediction", "Stop"]
