"""Models and images in one process: does a plan's shards, one after another."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from bandlimiter.attacks import AttackedModel
from bandlimiter.errors import NoGradientError
from bandlimiter.evaluation.adaptive import Adaptive, smallest_budget
from bandlimiter.evaluation.checking import Checks
from bandlimiter.evaluation.defence_under_test import DefenceUnderTest, defences_under_test
from bandlimiter.evaluation.evaluator import Attacked, CleanAnswers, Evaluator
from bandlimiter.evaluation.examples import choose_examples
from bandlimiter.evaluation.phases import CHECKS as CHECKS_PHASE
from bandlimiter.evaluation.phases import EXAMPLES, phase, timed
from bandlimiter.evaluation.plan import CHECKS, Plan, PlanItem
from bandlimiter.evaluation.precision import FLOAT32, FastCopies, make_copies
from bandlimiter.evaluation.probe import IMAGES, Kept, Probe
from bandlimiter.evaluation.row_building import build_rows, failed_rows
from bandlimiter.evaluation.screened import SAFETY
from bandlimiter.evaluation.validation import require_fitting, require_sound
from bandlimiter.results import NONE, SMALLEST, Row
from bandlimiter.results.runs import Shard, ShardResult
from bandlimiter.tensors import place_of, require_images

Heartbeat = Callable[[AttackedModel], None]

_SLICES_WITH_EXAMPLES = 3
"""How many slices, from the first on, have images to show."""

_CHECKED_TOGETHER = 25
"""Among how many images at least the checks choose: of fewer, too few may be right."""


class Worker:
    """Does the shards of a plan; travels to other processes with models and images, not started.

    Parameters
    ----------
    plan
        What is done.
    probe
        Which image, by position, is shown to the models to see that all fits together.
    """

    def __init__(self, plan: Plan, probe: int = 0) -> None:
        self._plan, self._first = plan, probe
        self._tried = False
        self._copies: FastCopies | None = None
        self.least_bound = 0.0
        self._evaluators: dict[str, Evaluator] = {}

    def __getstate__(self) -> dict[str, Any]:
        # What was tried need not be tried again where it goes.
        kept = {"_plan": self._plan, "_first": self._first, "_tried": self._tried}
        kept |= {"_copies": self._copies, "least_bound": self.least_bound}
        return {**kept, "_evaluators": {}}

    def start(self, heartbeat: Heartbeat | None = None) -> None:
        """Build what attacks need, once; ``heartbeat`` is an `AttackedModel`'s.

        Raises
        ------
        ConfigurationError, InputError
            Where an image shows that models, attacks and images do not fit together.
        """
        if self._evaluators:
            return
        plan, first = self._plan, self._plan.images.images(self._first, self._first + 1)
        copies = self._fast_copies(require_images(first).to(*place_of(plan.model)))
        gradients = None if copies is None else copies.gradients
        plain, searched = (
            AttackedModel(plan.model, heartbeat, differentiable=each, keep_searches=True)
            for each in (None, gradients)
        )
        defences = defences_under_test(plan, first, copies)
        evaluators = [
            Evaluator(
                plain, searched, each, epsilon=plan.epsilon, seed=plan.seed, targets=plan.targets
            )
            for each in defences
        ]
        placed = evaluators[0].place(require_images(first))
        if not self._tried:
            for module in (plan.model, *(each.module for each in defences)):
                require_sound(module, placed)
            classes = plain.count_classes(placed)
            require_fitting(classes, plan.images, plan.attacks, plan.targets, placed)
            self._tried = True
        if plan.kept:
            own = {each.name: each.module for each in defences if each.name not in plan.baselines}
            self._probe = Probe({NONE: plan.model, **own}, placed)
        self._heartbeat = heartbeat
        self._answers = CleanAnswers(plan.images, ())
        self._own = evaluators[0]
        self._evaluators = {each.name: each for each in evaluators}
        self._hold(self.least_bound)

    @property
    def precision(self) -> str:
        """What rows say of the copies that search; once started."""
        return self._own.defence.precision

    def _fast_copies(self, image: torch.Tensor) -> FastCopies | None:
        """Make copies once per run; they travel with this object."""
        device = place_of(self._plan.model)[0]
        if self._plan.precision == FLOAT32:
            return None
        if self._copies is not None:
            self._copies.require_place(device)
        elif not self._tried:
            self._copies = make_copies(self._plan.model, image)
        return self._copies

    def do(self, shard: Shard) -> ShardResult:
        """Do one item on one slice, or the checks; what comes out depends on the shard alone."""
        began = time.perf_counter()
        with timed() as seconds:
            result = self._done(shard)
            while self._too_narrow(shard):
                result = self._done(shard)
            self.widen(self.least_bound)
        (timing,) = result.timings
        taken = {"seconds": time.perf_counter() - began, "phases": seconds}
        # Not a fact: clean answers are checked by whichever shard of a slice comes first.
        seen = {"largest_difference": self._largest_difference(shard)}
        return replace(result, timings=[{**timing, **taken, **seen}])

    def _attack(self, shard: Shard) -> ShardResult:
        item, answers = self._plan.item(shard), self._answers_to(shard.images)
        attack = self._attack_defended if item.attack is None else self._attack_plain
        rows, images, ids = attack(item, answers)
        timing = {
            "attack": item.spec.name,
            "protocol": item.spec.protocol,
            "threat": item.spec.threat,
            "images": len({row.image for row in rows}),
        }
        facts: dict[str, Any] = {}
        arrays: dict[str, Any] = {}
        if self._plan.kept and shard.item == self._plan.items[0].name:
            clean = answers.of(self._own)
            with phase(CHECKS_PHASE):
                facts["probe"] = self._probe.ask(clean.images[:IMAGES], clean.ids[:IMAGES].tolist())
        if self._plan.keep_images:
            arrays["images"] = images.to(torch.float32).cpu().numpy()
            arrays["ids"] = ids.to(torch.int64).cpu().numpy()
        if (bound := self._bound(shard)) is not None:
            facts["bound"] = bound
        early = shard.images[0] < _SLICES_WITH_EXAMPLES * len(shard.images)
        if self._plan.examples and early and rows and rows[0].defence == self._own.name:
            found, most = (images, ids), self._plan.examples
            with phase(EXAMPLES):
                facts["exhibits"], shown = choose_examples(self._own, answers, rows, found, most)
            arrays.update(shown)
        return ShardResult(rows, arrays, facts, [timing])

    def _done(self, shard: Shard) -> ShardResult:
        if shard.item != CHECKS:
            return self._attack(shard)
        with phase(CHECKS_PHASE):
            return self._check(shard)

    def widen(self, bound: float) -> None:
        """Assume, from the next shard on, that fast copies are off by at least ``bound``."""
        self.least_bound = bound
        self._hold(bound)

    def _hold(self, bound: float) -> None:
        for evaluator in self._evaluators.values():
            if evaluator.least_bound != bound:
                evaluator.least_bound = bound
                self._answers = CleanAnswers(self._plan.images, ())

    def _too_narrow(self, shard: Shard) -> bool:
        """Whether a copy was off by more than it was held to be: then the shard is done again."""
        bound, largest = self._bound(shard), self._largest_difference(shard)
        if bound is None or largest <= bound:
            return False
        self._hold(SAFETY * largest)
        return True

    def _bound(self, shard: Shard) -> float | None:
        """Return by how much copies were taken to be off; None if float32 gave all labels."""
        bound = min(defence.held for defence in self._defences(shard))
        return None if bound == torch.inf else bound

    def _largest_difference(self, shard: Shard) -> float:
        """Return by how much copies were seen to be off; see `run_plan` for what it concerns."""
        return max(defence.largest for defence in self._defences(shard))

    def _defences(self, shard: Shard) -> list[DefenceUnderTest]:
        names = [self._own.name] if shard.item == CHECKS else self._plan.item(shard).defences
        return [self._evaluators[name].defence for name in names]

    def merge(self, shard: Shard, parts: Sequence[ShardResult]) -> ShardResult:
        """Put together what images gave one by one: defence by defence, as if done together."""
        rows = [row for part in parts for row in part.rows]
        defences = list(dict.fromkeys(row.defence for row in rows))
        names = {name for part in parts for name in part.arrays if not name.startswith("exhibit.")}
        findings = [found for part in parts for found in part.facts.get("findings", ())]
        once = list({(found["kind"], found["about"]): found for found in findings}.values())
        facts: dict[str, Any] = {"findings": once} if shard.item == CHECKS else {}
        facts |= next(({"probe": p.facts["probe"]} for p in parts if "probe" in p.facts), {})
        if bounds := [part.facts["bound"] for part in parts if "bound" in part.facts]:
            facts["bound"] = min(bounds)
        return ShardResult(
            rows=[row for name in defences for row in rows if row.defence == name],
            arrays={
                name: np.concatenate([p.arrays[name] for p in parts if name in p.arrays])
                for name in sorted(names)
            },
            facts=facts,
            timings=[timing for part in parts for timing in part.timings],
        )

    def failed(self, shard: Shard, error: str) -> ShardResult:
        """Return what stands for a shard of one image that gave nothing; needs no start."""
        if shard.item == CHECKS:
            return ShardResult()
        plan, item, (position,) = self._plan, self._plan.item(shard), shard.images
        where = plan.images, position
        return ShardResult(failed_rows(item.spec, plan.epsilon, item.defences, *where, error))

    def require_same(self, kept: Kept) -> None:
        """Refuse (ChangedError) models that answer otherwise than a run has kept; see `Probe`."""
        images = self._plan.images
        places = {key: place for place, key in enumerate(images.ids.tolist())}
        parts = [images.images(i, i + 1) for i in map(places.__getitem__, kept["ids"])]
        self._probe.require_same(kept, self._own.place(torch.cat(parts)))

    def _answers_to(self, positions: tuple[int, ...]) -> CleanAnswers:
        if self._answers.positions != positions:  # else they are those of the shard before
            self._answers = CleanAnswers(self._plan.images, positions)
        return self._answers

    def _attack_plain(
        self, item: PlanItem, answers: CleanAnswers
    ) -> tuple[list[Row], torch.Tensor, torch.Tensor]:
        """Attack the plain model, and show what was found to every defence."""
        assert item.attack is not None  # noqa: S101  (for the type checker)
        evaluators = [self._evaluators[name] for name in item.defences]
        attacked = evaluators[0].attack_plain(item.attack, answers.of(evaluators[0]))
        rows = [
            row
            for evaluator in evaluators
            for row in build_rows(evaluator, item.spec, answers, attacked)
        ]
        return rows, *_found(answers, evaluators[0], attacked)

    def _attack_defended(
        self, item: PlanItem, answers: CleanAnswers
    ) -> tuple[list[Row], torch.Tensor, torch.Tensor]:
        """Attack one defence itself."""
        evaluator, spec = self._evaluators[item.defences[0]], item.spec
        smallest = spec.name == SMALLEST
        quick, adaptive = self._plan.quick, self._plan.adaptive or Adaptive()
        attacks = (
            [smallest_budget(quick)] if smallest else adaptive.cascade(evaluator.searched, quick)
        )
        # A model of its own for each slice: the n-th draw around an image counts from here.
        target = evaluator.defence.attacked(self._heartbeat)
        attacked, rows = None, []
        # A search for smallest budgets has no rows where there is no gradient; a check says so.
        with suppress(*([NoGradientError] if smallest else [])):
            attacked = evaluator.attack_defended(spec, attacks, target, answers.of(evaluator))
            rows = build_rows(evaluator, spec, answers, attacked)
        return rows, *_found(answers, evaluator, attacked)

    def _check(self, shard: Shard) -> ShardResult:
        checks = Checks(self._own, self._plan.adaptive, len(self._plan.images))
        # The first part is the slice that was answered before, unless slices hold too few to tell.
        size = max(self._plan.shard_images, _CHECKED_TOGETHER)
        for start in range(0, len(shard.images), size):
            answers = self._answers_to(shard.images[start : start + size])
            checks.look(answers.of(self._own))
            if checks.complete:
                break
        facts: dict[str, Any] = {"findings": [found.document() for found in checks.found]}
        if (bound := self._bound(shard)) is not None:
            facts["bound"] = bound
        return ShardResult(facts=facts, timings=[{"attack": CHECKS}])


def _found(
    answers: CleanAnswers, evaluator: Evaluator, attacked: Attacked | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the images that an attack found, within the budget or not, and their ids."""
    batch = answers.of(evaluator)
    if attacked is None:
        return batch.images[:0], batch.ids[:0]
    found = attacked.result.found
    return attacked.result.images[found], batch.ids[attacked.right[found].cpu()]
