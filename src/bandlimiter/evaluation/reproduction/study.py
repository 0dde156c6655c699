"""A study: attacks are made once and kept; any number of defences then answer to them."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from itertools import count
from pathlib import Path
from typing import Any

from torch import nn

from bandlimiter.data import ImageSet
from bandlimiter.defence import PostAverage
from bandlimiter.evaluation.executors import Executor, InProcess
from bandlimiter.evaluation.plan import Plan, make_plan
from bandlimiter.evaluation.probe import ChangedError
from bandlimiter.evaluation.progress import Progress
from bandlimiter.evaluation.reproduction.replay import ReplayedAttack
from bandlimiter.evaluation.run import Evaluation, run_plan
from bandlimiter.results.runs import StoredRun

_NO_BUDGET = 1.0
"""For searches of smallest perturbations, which no budget changes: so one search serves all."""


@dataclass(frozen=True)
class StudyAttack:
    """One attack of a study.

    Attributes
    ----------
    name, protocol
        See `build_attack`.
    epsilon
        The budget in pixels under which it counts; ``fixed`` attacks spend it.
    limit
        On how many of the study's images, from the first; None for all.
    """

    name: str
    protocol: str
    epsilon: float
    limit: int | None = None


@dataclass
class Study:
    """Where a study's models, images and runs are.

    Attributes
    ----------
    model, defence
        The plain model, and the defence at the centre of the study.
    images
        All of them.
    out
        The folder of runs: ``attacks-HASH`` for each attack, ``answers-HASH`` for what defences
        answer. Runs that are there already are used, unfinished ones continued.
    executor
        Who works.
    seed, quick, precision, shard_images
        See `evaluate`.
    settings
        Facts to keep with each run.
    progress
        Called as rows come.
    runs
        The folders of all runs that were used, in order.
    warnings
        Signs that attacks were weak.
    """

    model: nn.Module
    defence: PostAverage
    images: ImageSet
    out: Path
    executor: Executor = field(default_factory=InProcess)
    seed: int = 0
    quick: bool = False
    precision: str = "auto"
    shard_images: int | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    progress: Progress | None = None
    runs: list[Path] = field(default_factory=list)
    warnings: list[dict[str, Any]] = field(default_factory=list)

    def attacked(self, tried: StudyAttack) -> ReplayedAttack:
        """Attack the plain model, or find that this was done before."""
        plan = make_plan(
            self.model,
            self.model,
            self._images(tried.limit),
            [tried.name],
            protocol=tried.protocol,
            epsilon=_NO_BUDGET if tried.protocol == "minimal" else tried.epsilon,
            threat="transfer",
            seed=self.seed,
            quick=self.quick,
            precision=self.precision,
            shard_images=self.shard_images,
            save_adversarial=True,
            settings={
                **self.settings,
                "about": f"{tried.name} {tried.protocol}, kept for defences",
            },
            examples=0,
            kind="attacks",
        )
        folder, _ = self._carried_out(plan)
        (attack,) = plan.attacks
        (item,) = plan.items
        return ReplayedAttack(
            *(attack.name, attack.protocol, folder.name, item.name, folder.resolve()),
            quick=attack.quick,
        )

    def judged(
        self, tried: Sequence[StudyAttack], others: Mapping[str, nn.Module] | None = None
    ) -> list[Evaluation]:
        """Show what attacks found to the defence, and to ``others``, by name.

        Attacks of one budget and limit are judged together.

        Returns
        -------
        list of Evaluation
            One for each budget and limit.
        """
        groups: dict[tuple[float, int | None], list[StudyAttack]] = {}
        for each in tried:
            groups.setdefault((each.epsilon, each.limit), []).append(each)
        return [self._judged(group, others) for group in groups.values()]

    def effort(self) -> dict[str, Any]:
        """Return who worked on the runs, and what they took: seconds of all workers together."""
        timings = [timing for run in self.runs for timing in StoredRun.open(run).timings()]
        return {
            "executor": type(self.executor).__name__,
            "workers": getattr(self.executor, "workers", 1),
            "threads": self.executor.threads,
            "worker_seconds": round(sum(timing.get("seconds", 0.0) for timing in timings), 1),
            "date": date.today().isoformat(),
        }

    def _judged(
        self, tried: Sequence[StudyAttack], others: Mapping[str, nn.Module] | None
    ) -> Evaluation:
        plan = make_plan(
            self.model,
            self.defence,
            self._images(tried[0].limit),
            [self.attacked(each) for each in tried],
            protocol="minimal",
            epsilon=tried[0].epsilon,
            threat="transfer",
            others=others,
            seed=self.seed,
            quick=self.quick,
            precision=self.precision,
            shard_images=self.shard_images,
            settings=self.settings,
            kind="answers",
        )
        return self._carried_out(plan)[1]

    def _carried_out(self, plan: Plan) -> tuple[Path, Evaluation]:
        """Do, or go on with, a run in its folder: the first that began with the same answers."""
        name = plan.name(self.executor.threads)
        for number in count(1):
            folder = self.out / (name if number == 1 else f"{name}-{number}")
            with suppress(ChangedError):
                found = run_plan(plan, folder, self.executor, self.progress)
                break
        self._note(folder, found)
        return folder, found

    def _images(self, limit: int | None) -> ImageSet:
        return self.images.limited(limit, None, self.seed)

    def _note(self, folder: Path, found: Evaluation) -> None:
        if folder not in self.runs:
            self.runs.append(folder)
        new = [each for each in found.tables["warnings"] if each not in self.warnings]
        self.warnings.extend(new)
