"""All attacks of a run on one batch: on the plain model, and on each defence that is on trial."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import torch

from bandlimiter.attacks import Attack, Target
from bandlimiter.errors import NoGradientError
from bandlimiter.evaluation.adaptive import Adaptive, smallest_budget
from bandlimiter.evaluation.cases import Attacked, CleanBatch, Trial
from bandlimiter.evaluation.judge import Judge
from bandlimiter.results import NONE, Row


@dataclass(frozen=True)
class Done:
    """One attack on one batch.

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
    """What a run tries on each batch.

    Parameters
    ----------
    judges
        One for each defence, the run's own first; all share the plain model, which stands
        among them under the name `NONE` where it is to face what the defences face.
    attacks
        On the plain model; what they find is shown to every defence.
    adaptive
        How each of ``judges`` itself is attacked; None for not at all.
    quick
        Whether these take fewer steps.
    announce
        Told what comes next.
    heartbeat
        See `Target`.
    """

    def __init__(
        self,
        judges: Sequence[Judge],
        attacks: Sequence[Attack],
        adaptive: Adaptive | None,
        *,
        quick: bool,
        announce: Callable[[str], None],
        heartbeat: Callable[[Target], None] | None = None,
    ) -> None:
        self._judges, self._adaptive, self._quick = judges, adaptive, quick
        self._announce, self._attacks = announce, attacks
        self.targets = {judge.defendant.name: judge.defendant.target(heartbeat) for judge in judges}

    @property
    def rows_per_image(self) -> int:
        """How many rows an image will have."""
        shown = sum(judge.defendant.name != NONE for judge in self._judges)
        faced = 0 if self._adaptive is None else 1 + self._adaptive.curve
        return len(self._attacks) * shown + faced * len(self._judges)

    def run(self, batches: Sequence[CleanBatch]) -> Iterator[Done]:
        """Try everything on one batch, given as each judge's defence answers it."""
        for attack in self._attacks:
            yield self._shown(attack, batches)
        if self._adaptive is None:
            return
        search = smallest_budget(self._quick)
        for judge, batch in zip(self._judges, batches, strict=True):
            stages = self._adaptive.cascade(judge.target, self._quick)
            yield self._faced(judge, batch, self._adaptive.cascade_trial(self._quick), stages)
            if self._adaptive.curve:
                with suppress(NoGradientError):  # a check says so; there is no curve then
                    yield self._faced(judge, batch, Trial.of(search, "adaptive"), [search])

    def _shown(self, attack: Attack, batches: Sequence[CleanBatch]) -> Done:
        """Attack the plain model, and show what was found to every defence."""
        trial, started = Trial.of(attack), time.perf_counter()
        self._announce(f"{trial.name} {trial.protocol}")
        attacked = self._judges[0].attack_plain(attack, batches[0])
        rows: list[Row] = []
        for judge, batch in zip(self._judges, batches, strict=True):
            if judge.defendant.name == NONE:
                continue
            rows.extend(judge.rows(trial, batch, attacked))
        return _done(trial, rows, batches[0], attacked, started)

    def _faced(
        self, judge: Judge, batch: CleanBatch, trial: Trial, attacks: Sequence[Attack]
    ) -> Done:
        """Attack one defence itself."""
        started, name = time.perf_counter(), judge.defendant.name
        self._announce(f"{trial.name} on {name}")
        attacked = judge.attack_defended(trial, attacks, self.targets[name], batch)
        return _done(trial, judge.rows(trial, batch, attacked), batch, attacked, started)


def _done(
    trial: Trial, rows: list[Row], batch: CleanBatch, attacked: Attacked | None, started: float
) -> Done:
    images, ids = batch.images[:0], batch.ids[:0]
    if attacked is not None:
        found = attacked.result.found
        images = attacked.result.images[found]
        ids = batch.ids[attacked.right[found].cpu()]
    return Done(trial, rows, images, ids, time.perf_counter() - started)
