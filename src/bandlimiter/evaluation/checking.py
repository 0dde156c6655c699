"""When the checks run: on the first images, and on all rows at the end."""

from collections.abc import Callable, Sequence
from typing import Any

from bandlimiter.attacks import AttackedModel
from bandlimiter.evaluation.adaptive import Adaptive
from bandlimiter.evaluation.evaluator import CleanBatch, Evaluator
from bandlimiter.evaluation.sanity_checks import (
    CHECKS,
    LARGE_BUDGET_STEPS,
    Checked,
    Finding,
    check_square,
)
from bandlimiter.results import OURS, Row

PLAIN = "plain"
"""What findings call the model under the defence."""

_IMAGES = 8
"""How many images are looked at: the first that the model under attack has right."""

_FEWEST = 2
"""How many at least, in a short run."""

_RESTARTS = 2
"""Starts of the attack with a large budget, at most."""

SHARE = 0.25
"""Of the gradients that a run's cascade may take, the most that this attack takes."""


class Checks:
    """Looks for signs that a run's attacks are weak.

    The plain model always, since all start from it: what it hides, a wrapper may hide better
    (the log of a mean of softmaxed probabilities looks like logits). The defence where
    attacks know it.

    Parameters
    ----------
    evaluator
        Of the run's own defence.
    adaptive
        How it is attacked; None where it is not.
    images
        How many the run has: the checks of a short one cost less.
    """

    def __init__(self, evaluator: Evaluator, adaptive: Adaptive | None, images: int) -> None:
        self._evaluator, self._adaptive, self._images = evaluator, adaptive, images
        self.found: list[Finding] = []
        self._looked: set[str] = set()

    @property
    def complete(self) -> bool:
        """Whether everything that is attacked was looked at."""
        return self._looked >= ({PLAIN} if self._adaptive is None else {PLAIN, OURS})

    def look(self, batch: CleanBatch) -> None:
        """Look at the first batch that holds images which the model under attack has right."""
        plain = self._evaluator.plain.model
        self._look(PLAIN, lambda: AttackedModel(plain), batch, "transfer")
        if self._adaptive is not None:
            self._look(OURS, self._evaluator.defence.attacked, batch, "adaptive")

    def _look(
        self, about: str, new_target: Callable[[], AttackedModel], batch: CleanBatch, threat: str
    ) -> None:
        count, restarts = _IMAGES, _RESTARTS
        if about == OURS and self._adaptive is not None:
            count, restarts = affordable(self._adaptive, self._images)
        right = batch.right(threat)[:count]
        if about in self._looked or not len(right):
            return
        self._looked.add(about)
        x, labels = batch.images[right], batch.labels[right]
        names = [f"inspection/{key}" for key in batch.ids[right.cpu()].tolist()]
        of = Checked(
            about,
            new_target(),
            new_target(),
            x,
            labels,
            names,
            norm=None if about == PLAIN or self._adaptive is None else self._adaptive.norm,
            epsilon=self._evaluator.epsilon,
            seed=self._evaluator.seed,
            restarts=restarts,
        )
        for check in CHECKS.values():
            self.found += check(of)


def affordable(adaptive: Adaptive, images: int) -> tuple[int, int]:
    """Return how many images of a defence are looked at, and from how many starts attacked.

    So that the attack with a large budget takes at most `SHARE` of the gradients that a cascade on
    all images may take; two images at least.

    Examples
    --------
    >>> affordable(Adaptive(), images=100), affordable(Adaptive().quickened(), images=12)
    ((8, 2), (3, 1))
    """
    stages = sum(adaptive.follows_gradients())
    allowed = SHARE * images * adaptive.steps * adaptive.restarts * stages
    restarts = _RESTARTS if allowed >= _IMAGES * _RESTARTS * LARGE_BUDGET_STEPS else 1
    count = int(allowed / (restarts * LARGE_BUDGET_STEPS))
    return max(_FEWEST, min(_IMAGES, count)), restarts


def conclude(
    found: Sequence[dict[str, Any]], rows: Sequence[Row], adaptive: Adaptive | None
) -> list[dict[str, Any]]:
    """Return what the checks found, with what only all rows of the run can tell."""
    if not _square_came_last(found, adaptive):
        return list(found)
    return [*found, *(finding.document() for finding in check_square(rows, OURS))]


def _square_came_last(found: Sequence[dict[str, Any]], adaptive: Adaptive | None) -> bool:
    """Whether Square got the images that attacks with gradients had had before it."""
    blind = any(each["kind"] == "no-gradient" and each["about"] == OURS for each in found)
    if adaptive is None or blind:
        return False
    square = adaptive.stages.index("square") if "square" in adaptive.stages else 0
    return any(adaptive.follows_gradients()[:square])
