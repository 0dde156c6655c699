"""Networks that keep their labels under noise: training a classifier that one already has."""

from bandlimiter.hardening.harden import harden
from bandlimiter.hardening.outcome import Hardened
from bandlimiter.hardening.recalibration import recalibrate, recalibrate_into
from bandlimiter.hardening.recipes import RECIPES, Recipe

__all__ = ["RECIPES", "Hardened", "Recipe", "harden", "recalibrate", "recalibrate_into"]
