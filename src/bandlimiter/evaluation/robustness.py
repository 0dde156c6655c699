"""Both sides of the truth on the same images: what a certificate proves, what attacks leave.

The accuracy of a classifier under the worst perturbation within a radius is not known. Certified
accuracy is at most that much, accuracy under any attack at least; between them lies the truth. For
an average over fresh Gaussian noise (or a ball's) both can be had, about the same classifier: the
average of votes over all noise.

Attacks follow the gradient of the mean probability over ``draws`` new noise vectors at every step
(Salman et al. 2019). An image leaves with its first break, which many new votes confirm: another
class must lead by three standard errors, at the point as the certificate's lattice has it.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from bandlimiter.attacks import AttackedModel, AttackResult, run_cascade
from bandlimiter.data import ImageSet
from bandlimiter.defence import Certificate, PostAverage
from bandlimiter.errors import ConfigurationError, NoGradientError
from bandlimiter.evaluation.executors.outcomes import said
from bandlimiter.evaluation.phases import ATTACKS, phase, timed
from bandlimiter.evaluation.robust_subject import RobustnessSettings, Subject
from bandlimiter.results import OURS
from bandlimiter.results.robust_rows import RobustRow
from bandlimiter.results.runs import Shard, ShardResult
from bandlimiter.tensors import place_of, require_images, require_labels

Cells = dict[str, Any]
"""Some of a `RobustRow`'s fields."""

_AGAIN = 1
"""How often an image is attacked again whose break was not confirmed."""

_LONGER = (1.0, 1.05, 1.1, 1.2, 1.4)
"""By how much a smallest perturbation that was found grows at most until votes confirm it."""

Heartbeat = Callable[[AttackedModel], None]


@dataclass
class RobustnessWorker:
    """Certifies and attacks the images of a shard; see `executors.Worker`.

    Attributes
    ----------
    network
        The plain classifier.
    modules
        All that are judged, by name.
    images
        On what.
    settings
        How.
    first
        The image that modules are tried on.
    """

    network: nn.Module
    modules: Mapping[str, nn.Module]
    images: ImageSet
    settings: RobustnessSettings
    first: int = 0
    heartbeat: Heartbeat | None = None
    subjects: dict[str, Subject] = field(default_factory=dict)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "heartbeat": None, "subjects": {}}

    def start(self) -> None:
        """Make what attacks follow, once."""
        if self.subjects:
            return
        example = self.example
        own = self.modules[OURS]
        averaged = own.model if isinstance(own, PostAverage) else None
        self.subjects = {
            name: Subject(
                *(name, module),
                self.network if getattr(module, "model", None) is averaged else None,
                *(example, self.settings),
            )
            for name, module in self.modules.items()
        }
        for subject in self.subjects.values():
            require_labels(self.images.labels, len(self.images), subject.classes)

    def do(self, shard: Shard) -> ShardResult:
        """Do all that is asked of some images, for one classifier after another."""
        began = time.perf_counter()
        x, labels = self._placed(shard.images), self.images.labels[list(shard.images)]
        ids = [int(self.images.ids[i]) for i in shard.images]
        rows: list[RobustRow] = []
        with timed() as seconds:
            for subject in self.subjects.values():
                given = (x, labels.to(x.device), ids)
                rows += self._of(subject, shard, *given)
        taken = {"seconds": time.perf_counter() - began, "phases": seconds}
        return ShardResult(rows, timings=[{"images": len(ids), **taken}])

    def merge(self, shard: Shard, parts: Sequence[ShardResult]) -> ShardResult:
        """Put the rows of images together."""
        rows = [row for part in parts for row in part.rows]
        return ShardResult(rows, timings=[timing for part in parts for timing in part.timings])

    def failed(self, shard: Shard, error: str) -> ShardResult:
        """Return a row per classifier that says why there is no answer."""
        return ShardResult([self._error(shard, name, error) for name in self.modules])

    def _of(
        self,
        subject: Subject,
        shard: Shard,
        x: torch.Tensor,
        labels: torch.Tensor,
        ids: Sequence[int],
    ) -> list[RobustRow]:
        """Return a classifier's rows; where it fails on one image alone, others' still count."""
        try:
            return _Slice(
                subject, self.subjects[OURS], self.settings, x, labels, ids, self.heartbeat
            ).rows()
        except (ConfigurationError, NoGradientError, MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # models raise whatever they like
            if len(ids) > 1 or "DefaultCPUAllocator" in str(error):
                raise
            return [self._error(shard, subject.name, said(error))]

    def _error(self, shard: Shard, name: str, error: str) -> RobustRow:
        (place,) = shard.images
        image, label = int(self.images.ids[place]), int(self.images.labels[place])
        return RobustRow(
            image=image,
            label=label,
            defence=name,
            norm="l2",
            budget=0.0,
            answer=-1,
            broken=False,
            error=error,
        )

    @property
    def example(self) -> torch.Tensor:
        """The image [1, ...] that modules are tried on."""
        return self._placed([self.first])

    def _placed(self, places: Sequence[int]) -> torch.Tensor:
        x = require_images(torch.cat([self.images.images(i, i + 1) for i in places]))
        device, dtype = place_of(self.network)
        return x.to(device, torch.promote_types(dtype, torch.float32))


class _Slice:
    """Some images and one classifier."""

    def __init__(
        self,
        subject: Subject,
        ours: Subject,
        settings: RobustnessSettings,
        x: torch.Tensor,
        labels: torch.Tensor,
        ids: Sequence[int],
        heartbeat: Heartbeat | None,
    ) -> None:
        self._subject, self._settings = subject, settings
        self._x, self._labels, self._ids = x, labels, ids
        self._target, self._plain = subject.attacked(heartbeat), ours.plain(heartbeat)

    def rows(self) -> list[RobustRow]:
        """Return a row per image and budget."""
        proof = self._subject.certificate(self._x, self._ids)
        answers = self._answers(proof)
        right = answers == self._labels
        rows: list[RobustRow] = []
        for norm, budgets in self._settings.budgets.items():
            proven = proof if norm == "l2" else None
            rows += self._of_budget(answers, norm, 0.0, {}, proven)
            known: dict[int, Cells] = {}
            for budget in budgets:
                self._attack(norm, budget, right, known)
                rows += self._of_budget(answers, norm, budget, known, proven)
        if self._settings.smallest:
            rows += self._of_budget(answers, "linf", None, self._smallest(right), None)
        return rows

    def _answers(self, proof: Certificate | None) -> torch.Tensor:
        """Return labels [N] of images as they are: the certified ones where these are known."""
        voted = self._target.predict(self._x, [f"{each}/clean" for each in self._ids])
        if proof is None:
            return voted
        return torch.where(proof.labels.to(voted.device) >= 0, proof.labels.to(voted.device), voted)

    def _attack(
        self, norm: str, budget: float, right: torch.Tensor, known: dict[int, Cells]
    ) -> None:
        """Attack the images that no smaller budget broke; add what was found to ``known``.

        Where a break was not confirmed, once more: the search had left too early.
        """
        left = [i for i in right.nonzero().flatten().tolist() if not known.get(i, {}).get("broken")]
        for attempt in range(1 + _AGAIN):
            if not left:
                return
            names = [f"{self._ids[i]}/{norm}/{budget:.6g}/{attempt}" for i in left]
            with phase(ATTACKS):
                found = run_cascade(
                    self._settings.attacks(norm, self._plain),
                    self._target,
                    self._x[left],
                    self._labels[left],
                    epsilon=budget,
                    ids=names,
                    seed=self._settings.seed,
                )
                result = found.result
                cells = self._judged(left, names, result.images, result, result.within)
            for place, i in enumerate(left):
                before = known.get(i, {})
                spent = {
                    name: before.get(name, 0) + int(getattr(result, name)[place])
                    for name in ("gradients", "evaluations")
                }
                stage = {"stage": found.stages[place]} if place in cells else {}
                known[i] = {**spent, **cells.get(place, {}), **stage}
            doubtful = result.within.tolist()
            left = [i for place, i in enumerate(left) if doubtful[place] and place not in cells]

    def _smallest(self, right: torch.Tensor) -> dict[int, Cells]:
        """Search for smallest budgets; points that are not confirmed go on a little."""
        attacked = right.nonzero().flatten().tolist()
        names = [f"{self._ids[i]}/smallest" for i in attacked]
        if not attacked:
            return {}
        with phase(ATTACKS), suppress(NoGradientError):
            start = self._x[attacked]
            result = self._settings.search(
                self._target,
                start,
                self._labels[attacked],
                epsilon=1.0,
                ids=names,
                seed=self._settings.seed,
            )
            cells: dict[int, Cells] = {}
            for factor in _LONGER:
                points = (start + factor * (result.images - start)).clamp(0, 1)
                open_ones = result.found.clone()
                open_ones[list(cells)] = False
                keys = [f"{name}/{factor}" for name in names]
                cells |= self._judged(attacked, keys, points, result, open_ones)
            return {
                i: {
                    "gradients": int(result.gradients[place]),
                    "evaluations": int(result.evaluations[place]),
                    **cells.get(place, {}),
                }
                for place, i in enumerate(attacked)
            }
        return {}

    def _judged(
        self,
        images: Sequence[int],
        names: Sequence[str],
        points: torch.Tensor,
        result: AttackResult,
        found: torch.Tensor,
    ) -> dict[int, Cells]:
        """Return what is broken, by its place: of an average, what new votes confirm."""
        places = found.nonzero().flatten().tolist()
        if not places:
            return {}
        judge = self._subject.judge
        if judge is None:
            return {
                place: {
                    "broken": True,
                    "adversarial": int(result.labels[place]),
                    "linf": float(result.linf[place]),
                    "l2": float(result.l2[place]),
                    "wrong": float(result.wrong[place]),
                }
                for place in places
            }
        rows = [images[place] for place in places]
        start, labels = self._x[rows], self._labels[rows]
        placed = judge.on_lattice(points[places], start)
        verdict = judge.refute(placed, labels, [f"{names[place]}/verdict" for place in places])
        lengths = (placed.double() - start.double()).flatten(1)
        return {
            place: {
                "broken": True,
                "adversarial": int(verdict.labels[n]),
                "linf": float(lengths[n].abs().max()),
                "l2": float(lengths[n].norm()),
                "wrong": float(verdict.wrong[n]),
            }
            for n, place in enumerate(places)
            if verdict.refuted[n]
        }

    def _of_budget(
        self,
        answers: torch.Tensor,
        norm: str,
        budget: float | None,
        known: Mapping[int, Cells],
        proof: Certificate | None,
    ) -> list[RobustRow]:
        reached = proof is not None and (budget or 0) <= self._subject.reach
        return [
            RobustRow(
                image=image,
                label=int(self._labels[i]),
                defence=self._subject.name,
                norm=norm,
                budget=budget,
                answer=int(answers[i]),
                precision=self._subject.precision,
                certified=_proven(proof, i, self._labels[i], budget) if proof and reached else None,
                samples=None if proof is None else int(proof.samples[i]),
                **{"broken": False, **known.get(i, {})},
            )
            for i, image in enumerate(self._ids)
        ]


def _proven(proof: Certificate, i: int, label: torch.Tensor, budget: float | None) -> bool:
    """Whether an image is certified right at a radius."""
    if int(proof.labels[i]) != int(label):
        return False
    if not budget:
        return True
    places = np.flatnonzero(np.isclose(proof.at.cpu().numpy(), budget, rtol=1e-12, atol=0))
    return bool(len(places)) and bool(proof.certified[i, int(places[0])])
