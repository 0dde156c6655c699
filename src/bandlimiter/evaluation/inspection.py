"""When the checks run: on the first images, and on all rows at the end."""

from collections.abc import Sequence

from bandlimiter.attacks import Target
from bandlimiter.evaluation.adaptive import Adaptive
from bandlimiter.evaluation.checks import (
    Finding,
    check_answers,
    check_gradients,
    check_large_budget,
    check_square,
)
from bandlimiter.evaluation.judge import CleanBatch, Judge
from bandlimiter.evaluation.trials import Trials
from bandlimiter.results import OURS, Row

_IMAGES = 8
"""How many images are looked at: the first that the defended model has right."""


class Inspection:
    """Checks a run's defence for signs that attacks on it are weak.

    Parameters
    ----------
    judge
        Of the run's own defence.
    trials
        Holds the defence as attacks see it.
    adaptive
        How it is attacked; None where it is not, and nothing is checked.
    """

    def __init__(self, judge: Judge, trials: Trials, adaptive: Adaptive | None) -> None:
        self._judge, self._adaptive = judge, adaptive
        self._target: Target = trials.targets[OURS]
        self._findings: list[Finding] = []
        self._looked = adaptive is None

    def look(self, batch: CleanBatch) -> None:
        """Look at the first batch that holds images which the defended model has right."""
        right = batch.right("adaptive")[:_IMAGES]
        if self._looked or self._adaptive is None or not len(right):
            return
        self._looked = True
        x, labels = batch.images[right], batch.labels[right]
        fresh = self._judge.defendant.target
        names = [f"inspection/{key}" for key in batch.ids[right.cpu()].tolist()]
        self._findings = [
            *check_answers(self._target, OURS, x),
            *check_gradients(fresh(), OURS, x, labels, names, again=fresh()),
            *check_large_budget(
                self._target,
                OURS,
                x,
                labels,
                norm=self._adaptive.norm,
                epsilon=self._judge.epsilon,
                ids=names,
                seed=self._judge.seed,
            ),
        ]

    def findings(self, rows: Sequence[Row]) -> list[Finding]:
        """Return everything found, with what only all rows of the run can tell."""
        if self._adaptive is None:
            return []
        return [*self._findings, *(check_square(rows, OURS) if self._square_came_last else [])]

    @property
    def _square_came_last(self) -> bool:
        """Whether Square got the images that attacks with gradients had had before it."""
        if self._adaptive is None or any(found.kind == "no-gradient" for found in self._findings):
            return False
        stages = self._adaptive.stages
        before = stages[: stages.index("square")] if "square" in stages else ()
        return not {"pgd", "apgd", "apgd-dlr"}.isdisjoint(before)
