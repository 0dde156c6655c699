"""The paper's experiments, from runs that are kept: attacked once, defended many times."""

from bandlimiter.evaluation.reproduction.experiments import ATTACKS, EXPERIMENTS
from bandlimiter.evaluation.reproduction.study import Study, StudyAttack

__all__ = ["ATTACKS", "EXPERIMENTS", "Study", "StudyAttack"]
