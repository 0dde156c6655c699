"""Carries out a programme's entries: attacks on the plain model, and on each defence."""

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import torch

from bandlimiter.attacks import Attack, Target
from bandlimiter.errors import NoGradientError
from bandlimiter.evaluation.adaptive import Adaptive, smallest_budget
from bandlimiter.evaluation.cases import Attacked, CleanBatch, Trial
from bandlimiter.evaluation.clean import CleanAnswers
from bandlimiter.evaluation.judge import Judge
from bandlimiter.evaluation.programme import Entry
from bandlimiter.results import SMALLEST, Row

Heartbeat = Callable[[Target], None]


@dataclass(frozen=True)
class Done:
    """One attack on one slice.

    Attributes
    ----------
    trial
        How it was made.
    rows
        Of all defences that its images were shown to.
    images, ids
        The adversarial images found, within the budget or not, and their ids.
    seconds
        What it took.
    """

    trial: Trial
    rows: list[Row]
    images: torch.Tensor
    ids: torch.Tensor
    seconds: float


class Trials:
    """Tries an entry on a slice.

    Parameters
    ----------
    judges
        One for each defence, the run's own first; all share the plain model.
    adaptive
        How each of ``judges`` itself is attacked.
    quick
        Whether these take fewer steps.
    heartbeat
        See `Target`.
    """

    def __init__(
        self,
        judges: Sequence[Judge],
        adaptive: Adaptive,
        *,
        quick: bool,
        heartbeat: Heartbeat | None = None,
    ) -> None:
        self._judges = {judge.defendant.name: judge for judge in judges}
        self._adaptive, self._quick, self._heartbeat = adaptive, quick, heartbeat

    def run(self, entry: Entry, answers: CleanAnswers) -> Done:
        """Try one entry; what comes out depends on the slice alone."""
        if entry.attack is not None:
            judges = [self._judges[name] for name in entry.defences]
            return self._shown(entry.attack, judges, answers)
        (name,) = entry.defences
        judge = self._judges[name]
        if entry.trial.name == SMALLEST:
            return self._faced(judge, answers, entry.trial, [smallest_budget(self._quick)])
        stages = self._adaptive.cascade(judge.target, self._quick)
        return self._faced(judge, answers, entry.trial, stages)

    def _shown(self, attack: Attack, judges: Iterable[Judge], answers: CleanAnswers) -> Done:
        """Attack the plain model, and show what was found to every defence."""
        trial, started = Trial.of(attack), time.perf_counter()
        first, *_ = judges = list(judges)
        attacked = first.attack_plain(attack, answers.of(first))
        rows: list[Row] = []
        for judge in judges:
            rows.extend(judge.rows(trial, answers.of(judge), attacked))
        return _done(trial, rows, answers.of(first), attacked, started)

    def _faced(
        self, judge: Judge, answers: CleanAnswers, trial: Trial, attacks: Sequence[Attack]
    ) -> Done:
        """Attack one defence itself."""
        started, batch = time.perf_counter(), answers.of(judge)
        # A target of its own for each slice: the n-th draw around an image counts from here.
        target = judge.defendant.target(self._heartbeat)
        attacked, rows = None, []
        # A search for smallest budgets has no rows where there is no gradient; a check says so.
        with suppress(*([NoGradientError] if trial.name == SMALLEST else [])):
            attacked = judge.attack_defended(trial, attacks, target, batch)
            rows = judge.rows(trial, batch, attacked)
        return _done(trial, rows, batch, attacked, started)


def _done(
    trial: Trial, rows: list[Row], batch: CleanBatch, attacked: Attacked | None, started: float
) -> Done:
    images, ids = batch.images[:0], batch.ids[:0]
    if attacked is not None:
        found = attacked.result.found
        images = attacked.result.images[found]
        ids = batch.ids[attacked.right[found].cpu()]
    return Done(trial, rows, images, ids, time.perf_counter() - started)
