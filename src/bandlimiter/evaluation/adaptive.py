"""How the defended model itself is attacked: the cascade and the smallest budgets."""

import math
from dataclasses import dataclass, replace

from bandlimiter.attacks import (
    APGD,
    PGD,
    Attack,
    MinimalPGD,
    Randomness,
    Square,
    Target,
    Transferred,
)
from bandlimiter.errors import ConfigurationError
from bandlimiter.evaluation.cases import Trial
from bandlimiter.results import CASCADE, SMALLEST

STAGES = ("transfer", "pgd", "apgd", "apgd-dlr", "square")
"""What a cascade can consist of, from cheap to dear."""


@dataclass(frozen=True)
class Adaptive:
    """How attacks that know the defence proceed.

    They know model, directions, seed and radius; of fresh draws their law.

    Attributes
    ----------
    stages
        Of `STAGES`, in order; an image leaves with the first that breaks it. ``"transfer"``
        is APGD on the plain model, ``"apgd"`` and ``"apgd-dlr"`` follow the gradient through
        the defence with two losses, ``"pgd"`` is plain PGD, ``"square"`` needs no gradient.
    steps
        Gradients an image, stage and start, beside that of the start itself.
    queries
        Answers an image that Square may ask for.
    restarts
        Random starts of APGD.
    norm
        ``"linf"`` or ``"l2"``: of the cascade's budget.
    draws
        For random answers: over how many each query and gradient is averaged.
    redraws
        For random answers: how often a final image is predicted. For a fixed draw: under how
        many other direction seeds final images are judged beside it.
    broken_share
        For random answers: the share of these predictions that must be wrong.
    curve
        Also search for each image's smallest budget, on the plain and the defended model.
    """

    stages: tuple[str, ...] = ("transfer", "apgd", "apgd-dlr", "square")
    steps: int = 50
    queries: int = 500
    restarts: int = 1
    norm: str = "linf"
    draws: int = 8
    redraws: int = 3
    broken_share: float = 0.5
    curve: bool = False

    def __post_init__(self) -> None:
        unknown = [stage for stage in self.stages if stage not in STAGES]
        if unknown or not self.stages or len(set(self.stages)) < len(self.stages):
            raise ConfigurationError(
                f"expected stages of {', '.join(STAGES)}, each once; got {', '.join(self.stages)}"
            )
        if self.redraws < 0:
            raise ConfigurationError(f"expected redraws of 0 or more, got {self.redraws}")
        # What is left refuses at once what it cannot do.
        _ = self.randomness
        APGD(steps=self.steps, norm=self.norm, restarts=self.restarts)
        Square(queries=self.queries)
        if self.norm != "linf" and ("pgd" in self.stages or self.curve):
            raise ConfigurationError(
                f"expected norm linf for the stage pgd and for smallest budgets, got {self.norm}"
            )

    @property
    def randomness(self) -> Randomness:
        """How a model with random answers is attacked and judged."""
        return Randomness(self.draws, max(1, self.redraws), self.broken_share)

    def require_budget(self, epsilon: float, numbers: int) -> None:
        """Refuse a budget that the norm does not allow for images of so many numbers."""
        most = 1.0 if self.norm == "linf" else math.sqrt(numbers)
        if not 0 < epsilon <= most:
            raise ConfigurationError(
                f"expected epsilon in (0, {most:.4g}], in pixels and {self.norm}; got {epsilon}"
            )

    def cascade_trial(self, quick: bool) -> Trial:
        """Return how rows call the cascade."""
        return Trial(CASCADE, "fixed", "adaptive", quick, self.norm)

    def quickened(self) -> "Adaptive":
        """Return these settings with at most 10 steps and 100 queries, for demonstrations."""
        return replace(self, steps=min(self.steps, 10), queries=min(self.queries, 100))

    def cascade(self, plain: Target, quick: bool) -> list[Attack]:
        """Return the stages as attacks, marked as quick or not.

        ``plain`` is what transfer attacks are made on.
        """
        return [self._stage(name, plain, quick) for name in self.stages]

    def _stage(self, name: str, plain: Target, quick: bool) -> Attack:
        apgd = APGD(
            steps=self.steps,
            norm=self.norm,
            restarts=self.restarts,
            quick=quick,
        )
        if name == "transfer":
            return Transferred(replace(apgd, leave=False), plain)
        if name == "pgd":
            return PGD(steps=apgd.steps, rate=2.5 / apgd.steps, quick=quick)
        if name == "square":
            return Square(self.queries, self.norm, quick=quick)
        return replace(apgd, loss="dlr" if name == "apgd-dlr" else "ce", name=name)


def smallest_budget(quick: bool) -> Attack:
    """Return the search for the smallest budget, the same for a plain and a defended model.

    PGD of ten steps at 2/255, 4/255, ... until one succeeds, up to 128/255, then bisections;
    the closest point met counts.
    """
    searches = 5 if quick else 7
    return MinimalPGD(10, 0.25, 2 / 255, 2.0, searches, quick, name=SMALLEST)
