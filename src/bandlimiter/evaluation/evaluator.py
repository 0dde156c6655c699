"""One defence under test: its clean answers to a slice; attacks on it and on the plain model."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from bandlimiter.attacks import (
    Attack,
    AttackedModel,
    AttackResult,
    CascadeResult,
    Goal,
    run_cascade,
)
from bandlimiter.data import ImageSet
from bandlimiter.evaluation.attack_spec import AttackSpec
from bandlimiter.evaluation.defence_under_test import DefenceUnderTest
from bandlimiter.evaluation.phases import ATTACKS, BOUND, LOADING, PLAIN, phase
from bandlimiter.evaluation.precision import of_each_kind
from bandlimiter.evaluation.targets import Targets
from bandlimiter.results import CASCADE
from bandlimiter.tensors import place_of, require_images

logger = logging.getLogger(__name__)

_MEASURED = 4
"""On how many images of a slice, in three kinds each, rounding is measured."""


@dataclass(frozen=True)
class CleanBatch:
    """A batch of the Clean set with both models' answers, all of length N.

    ``targets`` [N] are the classes that targeted attacks are to reach; None for untargeted
    ones. An image whose label is its target is not attacked.
    """

    images: torch.Tensor
    labels: torch.Tensor
    ids: torch.Tensor
    plain: torch.Tensor
    defended: torch.Tensor
    targets: torch.Tensor | None = None

    def right(self, threat: str) -> torch.Tensor:
        """Return which images are attacked, [n] int64: the model under attack has them right."""
        answers = self.defended if threat == "adaptive" else self.plain
        attacked = answers == self.labels
        if self.targets is not None:
            attacked &= self.targets != self.labels
        return attacked.nonzero().flatten()

    def goal(self, rows: torch.Tensor) -> Goal:
        """Return what attacks on some of the images are to reach."""
        return Goal(self.labels, self.targets)[rows]


@dataclass(frozen=True)
class Attacked:
    """What one attack did to the correctly classified images of a batch.

    Attributes
    ----------
    right
        [n] int64, which images of the batch were attacked.
    result
        For these.
    cascade
        More about them where several attacks took turns.
    """

    right: torch.Tensor
    result: AttackResult
    cascade: CascadeResult | None = None


class Evaluator:
    """Holds the plain model, a defence and the rules of a run.

    Parameters
    ----------
    plain
        The plain model.
    searched
        The same for attacks that take many gradients, which may come from a fast copy.
    defence
        The defence under test.
    epsilon
        Budget in pixels.
    seed
        Of the attacks' draws.
    targets
        How target classes are chosen; None for untargeted attacks.
    """

    def __init__(
        self,
        plain: AttackedModel,
        searched: AttackedModel,
        defence: DefenceUnderTest,
        *,
        epsilon: float,
        seed: int,
        targets: Targets | None = None,
    ) -> None:
        self.plain, self.searched, self.defence = plain, searched, defence
        self.epsilon, self.seed, self.targets = epsilon, seed, targets
        self.least_bound = 0.0  # by how much a copy is off at least, as was seen elsewhere
        self._device, self._dtype = place_of(plain.model)

    @property
    def name(self) -> str:
        """What rows and tables call the defence."""
        return self.defence.name

    def place(self, images: torch.Tensor) -> torch.Tensor:
        """Move images to the model's device, in float32 at least.

        Attacks and lengths need that precision also where the model works in less: an
        epsilon of 8/255 is not a multiple of bf16's steps.
        """
        return images.to(self._device, torch.promote_types(self._dtype, torch.float32))

    def clean(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        ids: torch.Tensor,
        known: CleanBatch | None = None,
    ) -> CleanBatch:
        """Check a batch and let both models answer it; ``known`` by another evaluator already."""
        images = require_images(images)
        labels = labels.to(images.device)
        if self.defence.screened:
            with phase(BOUND):
                self._measure(images[:_MEASURED], labels[:_MEASURED])
        if known is None:
            with phase(PLAIN):
                logits = self.plain.logits(images)
            targets = None if self.targets is None else self.targets.of(logits, labels, ids)
            plain = logits.argmax(dim=1)
        else:
            plain, targets = known.plain, known.targets
        keys = [f"{key}/clean" for key in ids.tolist()]
        return CleanBatch(images, labels, ids, plain, self.defence.labels(images, keys), targets)

    def _measure(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        """Measure how far the copy is off; where a model fails on these, float32 does the slice."""
        try:
            kinds = of_each_kind(self.plain, images, labels, self.epsilon)
            self.defence.measure(kinds, self.least_bound)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # noqa: BLE001  (a user's code may raise anything)
            logger.info("precisions cannot be compared on this slice: %s", error)
            self.defence.distrust()

    def attack_plain(self, attack: Attack, batch: CleanBatch) -> Attacked | None:
        """Attack the images that the plain model has right; None where there are none."""
        right = batch.right(attack.threat)
        if not len(right):
            return None
        goal = batch.goal(right)
        with phase(ATTACKS):
            result = attack(
                self.plain if attack.few_gradients else self.searched,
                batch.images[right],
                goal.labels,
                epsilon=self.epsilon,
                target=goal.target_labels,
                ids=batch.ids[right.cpu()].tolist(),
                seed=self.seed,
            )
        return Attacked(right, result)

    def attack_defended(
        self, spec: AttackSpec, attacks: Sequence[Attack], target: AttackedModel, batch: CleanBatch
    ) -> Attacked | None:
        """Let attacks take turns at the images that the defended model, ``target``, has right."""
        right = batch.right("adaptive")
        if not len(right):
            return None
        goal = batch.goal(right)
        with phase(ATTACKS):
            found = run_cascade(
                attacks,
                target,
                batch.images[right],
                goal.labels,
                epsilon=self.epsilon,
                target=goal.target_labels,
                ids=batch.ids[right.cpu()].tolist(),
                seed=self.seed,
            )
        return Attacked(right, found.result, found if spec.name == CASCADE else None)


class CleanAnswers:
    """A slice of a run's images, answered by each defence when it is first asked.

    Parameters
    ----------
    images
        The run's.
    positions
        Of the slice's images among them, ascending.
    """

    def __init__(self, images: ImageSet, positions: Sequence[int]) -> None:
        self._images, self.positions = images, tuple(positions)
        self._batches: dict[str, CleanBatch] = {}
        self._other_seeds: dict[str, list[tuple[int, ...]]] = {}

    def of(self, evaluator: Evaluator) -> CleanBatch:
        """Return the slice as one defence answers it; the plain answers are shared."""
        if evaluator.name not in self._batches:
            known = next(iter(self._batches.values()), None)
            pixels = self._pixels(evaluator) if known is None else known.images
            where = list(self.positions)
            labels, ids = self._images.labels[where], self._images.ids[where]
            self._batches[evaluator.name] = evaluator.clean(pixels, labels, ids, known)
        return self._batches[evaluator.name]

    def other_seeds(self, evaluator: Evaluator) -> list[tuple[int, ...]]:
        """Return the labels [N][seeds] that a fixed draw of other seeds gives the slice."""
        if evaluator.name not in self._other_seeds:
            found = evaluator.defence.other_seeds(self.of(evaluator).images)
            self._other_seeds[evaluator.name] = found
        return self._other_seeds[evaluator.name]

    def _pixels(self, evaluator: Evaluator) -> torch.Tensor:
        with phase(LOADING):
            parts = [self._images.images(i, i + 1) for i in self.positions]
            return evaluator.place(torch.cat(parts))
