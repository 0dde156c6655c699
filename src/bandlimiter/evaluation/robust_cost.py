"""What a run of `robust_accuracy` may cost, said before it starts."""

import logging
import time

import torch

from bandlimiter.evaluation.robust_subject import SEARCHES, RobustnessSettings, Subject
from bandlimiter.evaluation.robustness import RobustnessWorker

logger = logging.getLogger(__name__)

_TIMED = 4
"""Images in a timed pass, and passes of which the middle one counts."""


def announce(worker: RobustnessWorker, images: int) -> None:
    """Log the most evaluations that so many images can take, and the time of the attacks.

    By the clock of a few passes of the average alone, in this process: a guide, and no promise.
    """
    given, subjects = worker.settings, list(worker.subjects.values())
    gradients = images * sum(gradients_of(given, each) for each in subjects)
    queries = images * sum(queries_of(given, each) for each in subjects)
    budgets = sum(map(len, given.budgets.values()))
    proofs = sum(each.average is not None for each in subjects)
    logger.warning(
        "at most %s gradients and %s queries of networks (%d image%s, %d budget%s, %d steps, %d "
        "draws, %d classifiers), about %s here if no attack succeeds; an image leaves with its "
        "first break. Certificates: at most %s evaluations per image, commonly a tenth",
        f"{gradients:,}",
        f"{queries:,}",
        *(images, "s" * (images != 1), budgets, "s" * (budgets != 1)),
        *(given.adaptive.steps, given.adaptive.draws, len(subjects)),
        _in_words(_seconds(worker, gradients, queries)),
        f"{proofs * given.samples:,}",
    )


def gradients_of(given: RobustnessSettings, subject: Subject) -> int:
    """Return the most gradients of a network that attacks take per image."""
    adaptive, runs = given.adaptive, sum(map(len, given.budgets.values()))
    follows = sum(adaptive.follows_gradients()) * adaptive.restarts
    transfers = "transfer" in adaptive.stages
    steps = 1 + adaptive.steps
    searched = 2 * SEARCHES * adaptive.steps if given.smallest else 0
    return subject.points * (runs * follows * steps + searched) + runs * transfers * steps


def queries_of(given: RobustnessSettings, subject: Subject) -> int:
    """Return the most evaluations without gradient: Square's, and a verdict's for each budget."""
    runs = sum(map(len, given.budgets.values()))
    asked = given.adaptive.queries * ("square" in given.adaptive.stages)
    verdicts = 2 * given.votes if subject.average is not None else 1
    return runs * (subject.points * asked + verdicts)


def _seconds(worker: RobustnessWorker, gradients: int, queries: int) -> float:
    subject = next(iter(worker.subjects.values()))
    x = worker.example.repeat(_TIMED, *[1] * (worker.example.ndim - 1))
    labels = torch.zeros(len(x), dtype=torch.int64, device=x.device)
    target = subject.attacked(None)
    per_gradient = 0.0
    if gradients:
        per_gradient = _timed(lambda: target.ascend(x, labels)[0].cpu()) / (len(x) * subject.points)
    per_query = _timed(lambda: target.search_logits(x).cpu()) / (len(x) * subject.points)
    return gradients * per_gradient + queries * per_query


def _timed(work: object) -> float:
    """Return the median of three times, after one to warm up."""
    times = []
    for _ in range(4):
        began = time.perf_counter()
        work()  # type: ignore[operator]
        times.append(time.perf_counter() - began)
    return sorted(times[1:])[1]


def _in_words(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
