"""`robust_accuracy`: certified and attacked accuracy of an average on the same images."""

import itertools
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bandlimiter.attacks import AttackedModel
from bandlimiter.data import ImageSet, ImagesLike, as_images
from bandlimiter.defence import PostAverage
from bandlimiter.defence.certificates import reach
from bandlimiter.defence.certificates.requirements import require_plan
from bandlimiter.errors import ConfigurationError, InputError
from bandlimiter.evaluation.adaptive import Adaptive
from bandlimiter.evaluation.crash_marker import crash_marker
from bandlimiter.evaluation.executors import Executor, InProcess, run_shards
from bandlimiter.evaluation.fingerprints import of_code, of_images, of_module, of_place
from bandlimiter.evaluation.precision import resolve_precision
from bandlimiter.evaluation.progress import Progress
from bandlimiter.evaluation.robust_cost import announce
from bandlimiter.evaluation.robust_subject import RobustnessSettings
from bandlimiter.evaluation.robustness import RobustnessWorker
from bandlimiter.evaluation.validation import (
    require_budget,
    require_number,
    require_ready,
    resolve_threat,
)
from bandlimiter.results import NONE, OURS
from bandlimiter.results.phases import seconds_by_phase
from bandlimiter.results.robust_rows import RobustRow
from bandlimiter.results.robustness import summarise_robust
from bandlimiter.results.runs import RunStore, Shard, ShardResult
from bandlimiter.tensors import place_of

logger = logging.getLogger(__name__)

RADII = (0.25, 0.5, 0.75, 1.0)
"""L2 radii of the literature, in pixels."""

LINF = (1 / 255, 2 / 255, 4 / 255, 8 / 255)

DOCUMENT = "robustness.json"

_PER_SHARD = {"cpu": 10, "cuda": 100}
"""Images that are worked on together; with 32 draws each they fill a pass."""

_OF_ANSWERS = ("directions", "evaluations")
"""Settings of `PostAverage.predict` that play no part."""

_OF_ATTACKS = ("stages", "steps", "queries", "restarts", "draws", "redraws", "broken_share")


@dataclass(frozen=True)
class RobustAccuracy:
    """What a run found.

    Attributes
    ----------
    rows
        One per image, classifier and budget.
    tables
        The document made from them; see `results.robustness.summarise_robust`.
    seconds
        Where the time went, by phase.
    """

    rows: list[RobustRow]
    tables: dict[str, Any]
    seconds: dict[str, float] = field(default_factory=dict)


def robust_accuracy(
    model: nn.Module,
    defence: PostAverage,
    data: ImagesLike,
    *,
    at: Sequence[float] = RADII,
    linf: Sequence[float] = LINF,
    adaptive: Adaptive | None = None,
    votes: int = 1000,
    samples: int = 100_000,
    alpha: float = 1e-3,
    smallest: bool = False,
    others: Mapping[str, nn.Module] | None = None,
    out: Path | str | None = None,
    seed: int = 0,
    precision: str = "auto",
    executor: Executor | None = None,
    shard_images: int | None = None,
    settings: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> RobustAccuracy:
    """Certify and attack an average on the same images, about the same vote.

    The accuracy under the worst perturbation within a radius lies between the *certified* accuracy
    (what is proven; see `certify`) and the *attacked* one (what is right until an attack breaks it;
    a better attack would lower it). What is judged is the average over all noise, not the 6K + 1
    points of one answer.

    Parameters
    ----------
    model
        The plain classifier, pixels in [0, 1] -> logits, in eval mode. It faces the same attacks.
    defence
        An average that can be certified: ``PostAverage(model, sigma=...)``.
    data
        See `evaluate`.
    at
        L2 radii in pixels, increasing: certified and attacked. Those that ``samples`` cannot
        certify are attacked alone.
    linf
        L-inf budgets in pixels, increasing: attacked. They have no certificate of their own: one of
        L2 radius R covers an L-inf budget of R / sqrt(n).
    adaptive
        Stages, steps, queries, restarts and draws (noise vectors per gradient). Default: APGD, 50
        steps, 32 draws. Square, which needs no gradient, only where its stage is named.
    votes
        New ones that confirm a break.
    samples, alpha
        Of the certificates.
    smallest
        Also search for each image's smallest L-inf budget, of each classifier.
    others
        More classifiers to stand beside, by name: attacked the same way, and certified where that
        can be done.
    out, seed, precision, executor, shard_images, settings, progress
        See `evaluate`. Certificates and verdicts are those of ``defence`` as it is, also where
        gradients come from a fast copy.

    Raises
    ------
    ConfigurationError
        (a ValueError) for an average that cannot be certified and says why, radii or budgets that
        are not increasing, more than an image allows, other settings out of range.
    InputError
        (a ValueError) as `evaluate`.
    """
    modules = {OURS: defence, NONE: model, **(others or {})}
    if len(modules) < 2 + len(others or {}):
        raise ConfigurationError(f"expected names of others beside {OURS} and {NONE}")
    require_ready(model, {name: each for name, each in modules.items() if name != NONE})
    images = as_images(data)
    first = images.images(0, 1)
    require_plan(getattr(defence, "vote", "majority"), None, samples, 1, alpha, 0.0, None, False)
    most = reach(defence, first[0].numel(), samples, alpha)  # refuses what cannot be certified
    given = RobustnessSettings(
        at=_increasing("at", at, "l2", first),
        linf=_increasing("linf", linf, "linf", first),
        adaptive=adaptive or Adaptive(stages=("apgd",), draws=32),
        votes=votes,
        samples=samples,
        alpha=alpha,
        smallest=smallest,
        seed=seed,
        precision=resolve_precision(precision),
    )
    _require_stages(given, first)
    if not isinstance(votes, int) or votes < 1:
        raise ConfigurationError(f"expected at least one vote, got {votes!r}")
    if shard_images is not None and shard_images < 1:
        raise ConfigurationError(f"expected at least one image per shard, got {shard_images}")
    _tell(given.at, most, samples)
    worker = RobustnessWorker(model, modules, images, given)
    folder = None if out is None else Path(out).absolute()
    executor = executor or InProcess()
    law = {key: value for key, value in defence.settings.items() if key not in _OF_ANSWERS}
    facts = {**(settings or {}), **law, **_stated(given, images, modules)}
    for name in _OF_ANSWERS:
        facts.pop(name, None)
    return _run(worker, folder, executor, shard_images, facts, progress)


def _run(
    worker: RobustnessWorker,
    folder: Path | None,
    executor: Executor,
    shard_images: int | None,
    facts: dict[str, Any],
    progress: Progress | None,
) -> RobustAccuracy:
    images, reporter = worker.images, _Reporter(progress, len(worker.images))
    with crash_marker(folder, len(images)) as worker.first:
        worker.start()
    worker.heartbeat = reporter.heartbeat
    size = shard_images or _PER_SHARD.get(place_of(worker.network)[0].type, _PER_SHARD["cpu"])
    plan = [
        Shard(f"{start:06d}", "robustness", tuple(range(start, min(start + size, len(images)))))
        for start in range(0, len(images), size)
    ]
    identity = {} if folder is None else _identity(worker, size, executor.threads)
    with RunStore(folder, identity, plan, settings=facts, rows=RobustRow) as store:
        _require_same_precision(store, worker)
        if missing := store.missing():
            announce(worker, sum(len(shard.images) for shard in missing))
        reporter.done = len(images) - sum(len(shard.images) for shard in missing)
        run_shards(store, worker, executor, reporter)
        rows: list[RobustRow] = store.rows()
        own = [row.error for row in rows if row.defence == OURS]
        if None not in own:
            raise InputError(
                f"expected at least one image that can be judged, all failed: {own[0]}"
            )
        document = summarise_robust(rows, facts)
        store.write_document(DOCUMENT, document)
        return RobustAccuracy(rows, document, seconds_by_phase(store.timings()))


def _require_same_precision(store: RunStore, worker: RobustnessWorker) -> None:
    """Refuse (ConfigurationError) a machine on which copies compute in another format."""
    now = {name: subject.precision for name, subject in worker.subjects.items()}
    for row in store.rows():
        if row.error is None and store.missing() and row.precision != now[row.defence]:
            raise ConfigurationError(
                f"expected gradients in {row.precision}, as this run was started with, got "
                f"{now[row.defence]} on this machine; go on where it was started, or begin another"
            )


def _tell(at: Sequence[float], most: float, samples: int) -> None:
    """Name the radii that these samples cannot certify."""
    if beyond := [f"{radius:g}" for radius in at if radius > most]:
        logger.warning(
            "attacked, not certified: %s, as %s samples certify %.4g at the most",
            ", ".join(beyond),
            f"{samples:,}",
            most,
        )


def _require_stages(given: RobustnessSettings, first: torch.Tensor) -> None:
    """Refuse (ConfigurationError) stages that a norm or these inputs have no form of."""
    for norm, budgets in given.budgets.items():
        resolve_threat("adaptive", given.of_norm(norm), budgets[-1], first.shape[1:])
    if not given.at:
        raise ConfigurationError("expected at least one L2 radius, got none")


def _increasing(
    name: str, values: Sequence[float], norm: str, first: torch.Tensor
) -> tuple[float, ...]:
    """Check budgets."""
    if not isinstance(values, Iterable):
        raise ConfigurationError(f"expected a sequence of budgets as {name}, got {values!r}")
    found = tuple(require_number(value) for value in values)
    if any(high <= low for low, high in itertools.pairwise(found)):
        raise ConfigurationError(f"expected increasing {name}, got {', '.join(map(str, values))}")
    for value in found:
        require_budget(value, norm, first[0].numel(), name)
    return found


def _stated(
    given: RobustnessSettings, images: ImageSet, modules: Mapping[str, nn.Module]
) -> dict[str, Any]:
    return {
        "at": list(given.at),
        "linf": list(given.linf),
        "adaptive": {name: getattr(given.adaptive, name) for name in _OF_ATTACKS},
        "votes": given.votes,
        "samples": given.samples,
        "alpha": given.alpha,
        "smallest": given.smallest,
        "attack_seed": given.seed,
        "precision": given.precision,
        "coordinates": images.images(0, 1).numel(),
        "others": [name for name in modules if name not in (OURS, NONE)],
    }


def _identity(worker: RobustnessWorker, size: int, threads: int) -> dict[str, Any]:
    """Return all that rows depend on; what names the run."""
    like = worker.images.images(0, 1).shape
    return {
        "kind": "robustness",
        "shard_images": size,
        **{f"module {name}": of_module(each, like) for name, each in worker.modules.items()},
        "images": of_images(worker.images),
        **{
            f"law {name}": {**each.settings, "seed": each.seed}
            for name, each in worker.modules.items()
            if isinstance(each, PostAverage)
        },
        **_stated(worker.settings, worker.images, worker.modules),
        "threads": threads,
        **of_place(worker.network),
        **of_code(),
    }


@dataclass
class _Reporter:
    progress: Progress | None
    total: int
    done: int = 0
    doing: str = "starting"

    def started(self, shard: Shard) -> None:
        self._tell(f"images from {shard.images[0]}")

    def finished(self, shard: Shard, result: ShardResult) -> None:
        self.done += len(shard.images)
        self._tell(self.doing)

    def heartbeat(self, attacked: AttackedModel) -> None:
        if self.progress is not None:
            what = f"{self.doing}, {attacked.gradients:,} gradients, {attacked.queries:,} queries"
            self.progress(self.done, self.total, what)

    def _tell(self, doing: str) -> None:
        self.doing = doing
        if self.progress is not None:
            self.progress(self.done, self.total, doing)
