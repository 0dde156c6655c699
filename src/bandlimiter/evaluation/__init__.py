"""The protocol: clean and attacked accuracy of a plain and a defended model, row by row."""

from bandlimiter.evaluation.adaptive import STAGES, Adaptive
from bandlimiter.evaluation.adversarial_sets import (
    SavedImages,
    read_adversarial,
    write_adversarial,
)
from bandlimiter.evaluation.robust_run import RobustAccuracy, robust_accuracy
from bandlimiter.evaluation.robust_subject import can_certify
from bandlimiter.evaluation.run import Evaluation, evaluate
from bandlimiter.evaluation.sanity_checks import Checked, Finding, register_check
from bandlimiter.evaluation.validation import default_attacks, resolve_stop

__all__ = [
    "STAGES",
    "Adaptive",
    "Checked",
    "Evaluation",
    "Finding",
    "RobustAccuracy",
    "SavedImages",
    "can_certify",
    "default_attacks",
    "evaluate",
    "read_adversarial",
    "register_check",
    "resolve_stop",
    "robust_accuracy",
    "write_adversarial",
]
