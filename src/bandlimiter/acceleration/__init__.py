"""Fast inference copies of classifiers, held against the model that they were made from."""

from bandlimiter.acceleration.accelerate import Accelerated, accelerate
from bandlimiter.acceleration.gradient_copy import GradientCopy
from bandlimiter.acceleration.inference_copy import InferenceCopy

__all__ = ["Accelerated", "GradientCopy", "InferenceCopy", "accelerate"]
