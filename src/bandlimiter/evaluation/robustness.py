"""Both sides of the truth on the same images: what a certificate proves, what attacks leave.

The accuracy of a classifier under the worst perturbation within a radius is not known. Certified
accuracy is at most that much, accuracy under any attack at least; between them lies the truth. For
an average over fresh Gaussian noise (or a ball's) both can be had, about the same classifier: the
average of votes over all noise.

Attacks follow the gradient of the mean probability over ``draws`` new noise vectors at every step
(Salman et al. 2019). An image leaves with its first break, which many new votes confirm.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, TypeGuard

import numpy as np
import torch
from torch import nn

from bandlimiter.attacks import Attack, AttackedModel, MinimalPGD, Randomness, run_cascade
from bandlimiter.data import ImageSet
from bandlimiter.defence import Certificate, PostAverage, certify
from bandlimiter.defence.certificates import ManyVotes, reach
from bandlimiter.defence.part_of_average import PartOfAverage
from bandlimiter.errors import ConfigurationError, NoGradientError
from bandlimiter.evaluation.adaptive import Adaptive
from bandlimiter.evaluation.defence_under_test import DefenceUnderTest, has_gradient
from bandlimiter.evaluation.phases import ATTACKS, CERTIFICATES, phase, timed
from bandlimiter.evaluation.precision import FLOAT32, FastCopies, Precision, make_copies
from bandlimiter.results import SMALLEST
from bandlimiter.results.robust_rows import RobustRow
from bandlimiter.results.runs import Shard, ShardResult
from bandlimiter.tensors import place_of, require_images

_SEARCHES = 7
"""By how often smallest budgets are doubled at most, and halved."""

_FARTHEST = 2.5
"""How far all steps of a search lead together, in budgets (Madry et al. 2017)."""

Cells = dict[str, Any]
"""Some of a `RobustRow`'s fields."""


@dataclass(frozen=True)
class RobustnessSettings:
    """What is proven and attacked, and how.

    Attributes
    ----------
    at
        L2 radii in pixels, increasing.
    linf
        L-inf budgets in pixels, increasing; may be empty.
    adaptive
        The attacks: stages, steps, queries, restarts and ``draws``, the noise vectors per gradient.
    votes
        New ones that judge an attack's point.
    samples, alpha
        Of the certificates; see `certify`.
    smallest
        Whether each image's smallest L-inf budget is searched for.
    seed
        Of the attacks' draws.
    precision
        ``auto``: gradients come from fast copies; verdicts never do.
    """

    at: tuple[float, ...]
    linf: tuple[float, ...]
    adaptive: Adaptive
    votes: int
    samples: int
    alpha: float
    smallest: bool
    seed: int
    precision: Precision

    @property
    def budgets(self) -> dict[str, tuple[float, ...]]:
        """Budgets by norm."""
        return {"l2": self.at, "linf": self.linf}

    def attacks(self, norm: str, plain: AttackedModel) -> list[Attack]:
        """Return the attacks of a norm, in the order that they take turns."""
        return replace(self.adaptive, norm=norm).cascade(plain, quick=False)

    @property
    def search(self) -> Attack:
        """The search for smallest budgets: PGD with as many steps, from 4/255 on."""
        steps, rate = self.adaptive.steps, _FARTHEST / self.adaptive.steps
        return MinimalPGD(steps, rate, 4 / 255, 2.0, _SEARCHES, quick=False, name=SMALLEST)

    @property
    def gradients(self) -> int:
        """The most gradients of the network that an image of an average can take."""
        stages = sum(self.adaptive.follows_gradients())
        runs = stages * self.adaptive.restarts * (len(self.at) + len(self.linf))
        searches = 2 * _SEARCHES * self.smallest
        return (runs * (1 + self.adaptive.steps) + searches * self.adaptive.steps) * (
            self.adaptive.draws
        )


class Subject:
    """A classifier under attack: how it answers, what attacks follow, what can be proven of it.

    Parameters
    ----------
    name
        What rows call it.
    module
        [N, ...] pixels -> logits [N, classes]. A `PostAverage` that `certify` takes is attacked and
        judged as the average over all noise.
    network
        Whose gradient attacks follow where the module (a compiled copy) has none.
    example
        [1, ...], an input.
    settings
        Of the run.
    heartbeat
        See `AttackedModel`.
    """

    def __init__(
        self,
        name: str,
        module: nn.Module,
        network: nn.Module,
        example: torch.Tensor,
        settings: RobustnessSettings,
        heartbeat: Callable[[AttackedModel], None] | None,
    ) -> None:
        self.name, self.module = name, module
        self._settings = settings
        inside = module.model if isinstance(module, PostAverage) else module
        if not has_gradient(inside, example):
            inside = network
        copies = None if settings.precision == FLOAT32 else make_copies(inside, example)
        self.precision = FLOAT32 if copies is None else copies.name
        self.average: PostAverage | None = module if can_certify(module, example) else None
        self.target = self._attacked(inside, copies, example, heartbeat)

    def _attacked(
        self,
        network: nn.Module,
        copies: FastCopies | None,
        example: torch.Tensor,
        heartbeat: Callable[[AttackedModel], None] | None,
    ) -> AttackedModel:
        if self.average is None:
            randomness = Randomness(self._settings.adaptive.draws, 3)
            random = isinstance(self.module, PostAverage) and self.module.randomness == "fresh"
            return DefenceUnderTest(
                *(self.name, self.module, network, example),
                random=random,
                randomness=randomness,
                copies=copies,
            ).attacked(heartbeat)
        draws = self._settings.adaptive.draws
        noisy = self.average.variant(
            model=network if copies is None else copies.gradients,
            vote="softmax",
            directions=-(-(draws - 1) // 6) or 1,
        )
        some = PartOfAverage(noisy, noisy.scores_at, torch.arange(draws), noisy.keeps_graphs)
        searched = None if copies is None else self.average.variant(model=copies.answers)
        judge = ManyVotes(self.average, self._settings.votes, searched=searched)
        return AttackedModel(judge, heartbeat, differentiable=some)

    def answers(self, x: torch.Tensor, ids: Sequence[int]) -> torch.Tensor:
        """Return labels [N] of images as they are."""
        return self.target.predict(x, [f"{each}/clean" for each in ids])

    def certificate(self, x: torch.Tensor, ids: Sequence[int]) -> Certificate | None:
        """Certify images at those radii that the samples reach; None where there is no proof."""
        if self.average is None:
            return None
        given, dim = self._settings, x[0].numel()
        most = reach(self.average, dim, given.samples, given.alpha)
        within = [radius for radius in given.at if radius <= most]
        with phase(CERTIFICATES):
            return certify(
                self.average,
                x,
                at=within or [most / 2],
                samples=given.samples,
                alpha=given.alpha,
                keys=list(ids),
            )


def can_certify(module: nn.Module, example: torch.Tensor) -> TypeGuard[PostAverage]:
    """Whether `certify` takes a module."""
    if not isinstance(module, PostAverage):
        return False
    try:
        reach(module, example[0].numel(), 100, 0.5)
    except ConfigurationError:
        return False
    return True


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
    """

    network: nn.Module
    modules: Mapping[str, nn.Module]
    images: ImageSet
    settings: RobustnessSettings
    heartbeat: Callable[[AttackedModel], None] | None = None
    subjects: dict[str, Subject] = field(default_factory=dict)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "heartbeat": None, "subjects": {}}

    def start(self) -> None:
        """Make what attacks follow, once."""
        if self.subjects:
            return
        example = self._placed([0])
        self.subjects = {
            name: Subject(name, module, self.network, example, self.settings, self.heartbeat)
            for name, module in self.modules.items()
        }

    def do(self, shard: Shard) -> ShardResult:
        """Do all that is asked of some images, for one classifier after another."""
        began = time.perf_counter()
        x, labels = self._placed(shard.images), self.images.labels[list(shard.images)]
        ids = [int(self.images.ids[i]) for i in shard.images]
        rows: list[RobustRow] = []
        with timed() as seconds:
            for subject in self.subjects.values():
                rows += _Slice(subject, self.settings, x, labels.to(x.device), ids).rows()
        taken = {"seconds": time.perf_counter() - began, "phases": seconds}
        return ShardResult(rows, timings=[{"images": len(ids), **taken}])

    def merge(self, shard: Shard, parts: Sequence[ShardResult]) -> ShardResult:
        """Put the rows of images together."""
        rows = [row for part in parts for row in part.rows]
        return ShardResult(rows, timings=[timing for part in parts for timing in part.timings])

    def failed(self, shard: Shard, error: str) -> ShardResult:
        """Return a row per classifier that says why there is no answer."""
        (place,) = shard.images
        image, label = int(self.images.ids[place]), int(self.images.labels[place])
        fixed: Cells = {"image": image, "label": label, "norm": "l2", "budget": 0.0}
        return ShardResult(
            [
                RobustRow(**fixed, defence=name, answer=-1, broken=False, error=error)
                for name in self.modules
            ]
        )

    def _placed(self, places: Sequence[int]) -> torch.Tensor:
        x = require_images(torch.cat([self.images.images(i, i + 1) for i in places]))
        device, dtype = place_of(self.network)
        return x.to(device, torch.promote_types(dtype, torch.float32))


class _Slice:
    """Some images and one classifier."""

    def __init__(
        self,
        subject: Subject,
        settings: RobustnessSettings,
        x: torch.Tensor,
        labels: torch.Tensor,
        ids: Sequence[int],
    ) -> None:
        self._subject, self._settings = subject, settings
        self._x, self._labels, self._ids = x, labels, ids

    def rows(self) -> list[RobustRow]:
        subject, settings = self._subject, self._settings
        answers = subject.answers(self._x, self._ids)
        right = answers == self._labels
        proof = subject.certificate(self._x, self._ids)
        rows: list[RobustRow] = []
        for norm, budgets in settings.budgets.items():
            if budgets:
                rows += self._of_budget(answers, norm, 0.0, {}, proof if norm == "l2" else None)
            broken: dict[int, Cells] = {}
            for budget in budgets:
                self._attack(norm, budget, right, broken)
                proven = proof if norm == "l2" else None
                rows += self._of_budget(answers, norm, budget, broken, proven)
        if settings.smallest:
            rows += self._of_budget(answers, "linf", None, self._smallest(right), None)
        return rows

    def _attack(
        self, norm: str, budget: float, right: torch.Tensor, known: dict[int, Cells]
    ) -> None:
        """Attack the images that no smaller budget broke; add what was found to ``known``."""
        left = [i for i in right.nonzero().flatten().tolist() if not known.get(i, {}).get("broken")]
        if not left:
            return
        target = self._subject.target
        with phase(ATTACKS):
            found = run_cascade(
                self._settings.attacks(norm, target),
                target,
                self._x[left],
                self._labels[left],
                epsilon=budget,
                ids=[f"{self._ids[i]}/{norm}/{budget:.6g}" for i in left],
                seed=self._settings.seed,
            )
        result = found.result
        for place, i in enumerate(left):
            before = known.get(i, {})
            known[i] = {
                "gradients": before.get("gradients", 0) + int(result.gradients[place]),
                "evaluations": before.get("evaluations", 0) + int(result.evaluations[place]),
            }
            if result.within[place]:
                known[i] |= {**_found(result, place), "stage": found.stages[place]}

    def _smallest(self, right: torch.Tensor) -> dict[int, Cells]:
        attacked = right.nonzero().flatten()
        if not len(attacked):
            return {}
        with phase(ATTACKS), suppress(NoGradientError):
            result = self._settings.search(
                self._subject.target,
                self._x[attacked],
                self._labels[attacked],
                epsilon=1.0,
                ids=[f"{self._ids[i]}/smallest" for i in attacked.tolist()],
                seed=self._settings.seed,
            )
            return {
                i: {
                    "gradients": int(result.gradients[place]),
                    "evaluations": int(result.evaluations[place]),
                    **(_found(result, place) if result.found[place] else {}),
                }
                for place, i in enumerate(attacked.tolist())
            }
        return {}

    def _of_budget(
        self,
        answers: torch.Tensor,
        norm: str,
        budget: float | None,
        known: Mapping[int, Cells],
        proof: Certificate | None,
    ) -> list[RobustRow]:
        return [
            RobustRow(
                image=image,
                label=int(self._labels[i]),
                defence=self._subject.name,
                norm=norm,
                budget=budget,
                answer=int(answers[i]),
                precision=self._subject.precision,
                certified=None if proof is None else _proven(proof, i, self._labels[i], budget),
                samples=None if proof is None else int(proof.samples[i]),
                **{"broken": False, **known.get(i, {})},
            )
            for i, image in enumerate(self._ids)
        ]


def _found(result: Any, place: int) -> Cells:
    return {
        "broken": True,
        "adversarial": int(result.labels[place]),
        "linf": float(result.linf[place]),
        "l2": float(result.l2[place]),
        "wrong": float(result.wrong[place]),
    }


def _proven(proof: Certificate, i: int, label: torch.Tensor, budget: float | None) -> bool:
    """Whether an image is certified right at a radius; not where the samples cannot reach it."""
    if int(proof.labels[i]) != int(label):
        return False
    if not budget:
        return True
    places = np.flatnonzero(np.isclose(proof.at.cpu().numpy(), budget, rtol=1e-12, atol=0))
    return bool(len(places)) and bool(proof.certified[i, int(places[0])])
