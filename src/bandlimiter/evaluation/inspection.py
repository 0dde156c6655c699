"""When the checks run: on the first images, and on all rows at the end."""

from collections.abc import Callable, Sequence
from typing import Any

from bandlimiter.attacks import Target
from bandlimiter.evaluation.adaptive import Adaptive
from bandlimiter.evaluation.cases import CleanBatch
from bandlimiter.evaluation.checks import (
    Finding,
    check_answers,
    check_gradients,
    check_large_budget,
    check_square,
)
from bandlimiter.evaluation.judge import Judge
from bandlimiter.results import OURS, Row

PLAIN = "plain"
"""What findings call the model under the defence."""

_IMAGES = 8
"""How many images are looked at: the first that the model under attack has right."""

_WITH_GRADIENT = ("pgd", "apgd", "apgd-dlr")


class Inspection:
    """Checks what a run attacks for signs that the attacks are weak.

    The plain model always, since all start from it: what it hides, a wrapper may hide better
    (the log of a mean of softmaxed probabilities looks like logits). The defence where
    attacks know it.

    Parameters
    ----------
    judge
        Of the run's own defence.
    adaptive
        How it is attacked; None where it is not.
    """

    def __init__(self, judge: Judge, adaptive: Adaptive | None) -> None:
        self._judge, self._adaptive = judge, adaptive
        self.found: list[Finding] = []
        self._looked: set[str] = set()

    @property
    def complete(self) -> bool:
        """Whether everything that is attacked was looked at."""
        return self._looked >= ({PLAIN} if self._adaptive is None else {PLAIN, OURS})

    def look(self, batch: CleanBatch) -> None:
        """Look at the first batch that holds images which the model under attack has right."""
        plain = self._judge.target.model
        self._look(PLAIN, lambda: Target(plain), batch, "transfer")
        if self._adaptive is not None:
            self._look(OURS, self._judge.defendant.target, batch, "adaptive")

    def _look(
        self, about: str, new_target: Callable[[], Target], batch: CleanBatch, threat: str
    ) -> None:
        right = batch.right(threat)[:_IMAGES]
        if about in self._looked or not len(right):
            return
        self._looked.add(about)
        x, labels = batch.images[right], batch.labels[right]
        names = [f"inspection/{key}" for key in batch.ids[right.cpu()].tolist()]
        target = new_target()
        self.found += check_answers(target, about, x)
        self.found += check_gradients(target, about, x, labels, names, again=new_target())
        if about == OURS and self._adaptive is not None:
            self.found += check_large_budget(
                target,
                about,
                x,
                labels,
                norm=self._adaptive.norm,
                epsilon=self._judge.epsilon,
                ids=names,
                seed=self._judge.seed,
            )


def conclude(
    found: Sequence[dict[str, Any]], rows: Sequence[Row], adaptive: Adaptive | None
) -> list[dict[str, Any]]:
    """Return what an inspection found, with what only all rows of the run can tell."""
    if not _square_came_last(found, adaptive):
        return list(found)
    return [*found, *(finding.document() for finding in check_square(rows, OURS))]


def _square_came_last(found: Sequence[dict[str, Any]], adaptive: Adaptive | None) -> bool:
    """Whether Square got the images that attacks with gradients had had before it."""
    blind = any(each["kind"] == "no-gradient" and each["about"] == OURS for each in found)
    if adaptive is None or blind:
        return False
    stages = adaptive.stages
    before = stages[: stages.index("square")] if "square" in stages else ()
    return not set(_WITH_GRADIENT).isdisjoint(before)
