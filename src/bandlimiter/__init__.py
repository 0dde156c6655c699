"""Post-averaging for PyTorch classifiers, and what averaging around an input really buys.

>>> import torch
>>> from bandlimiter import PostAverage
>>> defended = PostAverage(torch.nn.Linear(2, 2), radius=0.1, scale=1.0)
>>> defended.evaluations
91
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bandlimiter.acceleration import Accelerated, accelerate
    from bandlimiter.data import load_data
    from bandlimiter.defence import Certificate, PostAverage, Prediction, certify
    from bandlimiter.errors import BandlimiterError
    from bandlimiter.evaluation import Evaluation, RobustAccuracy, evaluate, robust_accuracy
    from bandlimiter.hardening import Hardened, harden, recalibrate
    from bandlimiter.models import load_model
    from bandlimiter.tensors import Normalise

__all__ = [
    "Accelerated",
    "BandlimiterError",
    "Certificate",
    "Evaluation",
    "Hardened",
    "Normalise",
    "PostAverage",
    "Prediction",
    "RobustAccuracy",
    "accelerate",
    "certify",
    "evaluate",
    "harden",
    "load_data",
    "load_model",
    "recalibrate",
    "robust_accuracy",
]

_HOMES = {
    "Accelerated": "bandlimiter.acceleration",
    "BandlimiterError": "bandlimiter.errors",
    "Certificate": "bandlimiter.defence",
    "Evaluation": "bandlimiter.evaluation",
    "Hardened": "bandlimiter.hardening",
    "Normalise": "bandlimiter.tensors",
    "PostAverage": "bandlimiter.defence",
    "Prediction": "bandlimiter.defence",
    "RobustAccuracy": "bandlimiter.evaluation",
    "accelerate": "bandlimiter.acceleration",
    "certify": "bandlimiter.defence",
    "evaluate": "bandlimiter.evaluation",
    "harden": "bandlimiter.hardening",
    "load_data": "bandlimiter.data",
    "load_model": "bandlimiter.models",
    "recalibrate": "bandlimiter.hardening",
    "robust_accuracy": "bandlimiter.evaluation",
}


def __getattr__(name: str) -> object:
    # Late, so that ``bandlimiter --help`` does not wait for torch.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
