"""Networks that keep their labels under noise: training a classifier that one already has."""

from bandlimiter.hardening.harden import harden
from bandlimiter.hardening.recalibration import recalibrate, recalibrate_into
from bandlimiter.hardening.recipes import RECIPES, Recipe
from bandlimiter.hardening.result import Hardened

__all__ = ["RECIPES", "Hardened", "Recipe", "harden", "recalibrate", "recalibrate_into"]
