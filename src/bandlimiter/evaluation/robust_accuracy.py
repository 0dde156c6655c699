"""`robust_accuracy`: certified and attacked accuracy of an average on the same images."""

import itertools
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bandlimiter.attacks import AttackedModel
from bandlimiter.data import ImageSet, ImagesLike, as_images
from bandlimiter.defence import PostAverage
from bandlimiter.defence.certificates import reach
from bandlimiter.errors import ConfigurationError, InputError
from bandlimiter.evaluation.adaptive import Adaptive
from bandlimiter.evaluation.crash_marker import crash_marker
from bandlimiter.evaluation.executors import Executor, InProcess, run_shards
from bandlimiter.evaluation.fingerprints import of_code, of_images, of_module, of_place
from bandlimiter.evaluation.phases import ATTACKS, phase, timed
from bandlimiter.evaluation.precision import resolve_precision
from bandlimiter.evaluation.progress import Progress
from bandlimiter.evaluation.robustness import RobustnessSettings, RobustnessWorker
from bandlimiter.evaluation.validation import require_budget, require_number, require_ready
from bandlimiter.results import NONE, OURS
from bandlimiter.results.phases import seconds_by_phase
from bandlimiter.results.robust_rows import RobustRow
from bandlimiter.results.robustness import summarise_robust
from bandlimiter.results.runs import RunStore, Shard, ShardResult
from bandlimiter.tensors import place_of, require_labels

logger = logging.getLogger(__name__)

RADII = (0.25, 0.5, 0.75, 1.0)
"""L2 radii of the literature, in pixels."""

LINF = (1 / 255, 2 / 255, 4 / 255, 8 / 255)

DOCUMENT = "robustness.json"

_PER_SHARD = {"cpu": 10, "cuda": 100}
"""Images that are worked on together; with 32 draws each they fill a pass."""

_TIMED = 4
"""Images' gradients are timed together to say what a run may take."""


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
    reach(defence, first[0].numel(), samples, alpha)  # refuses what cannot be certified
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
    if not given.at:
        raise ConfigurationError("expected at least one L2 radius, got none")
    worker = RobustnessWorker(model, modules, images, given)
    folder = None if out is None else Path(out).absolute()
    executor = executor or InProcess()
    facts = {**(settings or {}), **defence.settings, **_stated(given, images, modules)}
    for points in ("directions", "evaluations"):  # of `predict`, which play no part
        facts.pop(points, None)
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
    worker.heartbeat = reporter.heartbeat
    with crash_marker(folder, len(images)) as place:
        first = images.images(place, place + 1).to(place_of(worker.network)[0])
        classes = AttackedModel(worker.network).count_classes(first)
        require_labels(images.labels, len(images), classes)
        worker.start()
    kind = place_of(worker.network)[0].type
    size = shard_images or _PER_SHARD.get(kind, _PER_SHARD["cpu"])
    plan = [
        Shard(f"{start:06d}", "robustness", tuple(range(start, min(start + size, len(images)))))
        for start in range(0, len(images), size)
    ]
    identity = {} if folder is None else _identity(worker, size, executor.threads)
    with RunStore(folder, identity, plan, settings=facts, rows=RobustRow) as store:
        if missing := store.missing():
            _announce(worker, first, sum(len(shard.images) for shard in missing))
        reporter.done = len(images) - sum(len(shard.images) for shard in missing)
        run_shards(store, worker, executor, reporter)
        rows: list[RobustRow] = store.rows()
        if all(row.error is not None for row in rows):
            raise InputError(
                f"expected at least one image that can be judged, all failed: {rows[0].error}"
            )
        document = summarise_robust(rows, facts)
        store.write_document(DOCUMENT, document)
        return RobustAccuracy(rows, document, seconds_by_phase(store.timings()))


def _announce(worker: RobustnessWorker, first: torch.Tensor, images: int) -> None:
    """Say before the start what it may cost, by the clock of a few gradients."""
    given, target = worker.settings, worker.subjects[OURS].target
    x = first.repeat(_TIMED, *[1] * (first.ndim - 1))
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    ask = partial(target.ascend, x, torch.zeros(len(x), dtype=torch.int64, device=x.device))
    with timed() as seconds:
        ask()
        with phase(ATTACKS):
            ask()
    rate = len(x) * given.adaptive.draws / seconds[ATTACKS]
    most = images * given.gradients
    logger.warning(
        "at most %s gradients of the network (%d images, %d budgets, %d steps, %d draws), about %s "
        "on this machine; images leave with their first break. Certificates and verdicts come "
        "beside",
        f"{most:,}",
        images,
        len(given.at) + len(given.linf),
        given.adaptive.steps,
        given.adaptive.draws,
        _in_words(most / rate),
    )


def _in_words(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 90 else f"{seconds / 60:.0f} minutes"


def _increasing(
    name: str, values: Sequence[float], norm: str, first: torch.Tensor
) -> tuple[float, ...]:
    """Check budgets."""
    found = tuple(require_number(value) for value in values)
    if any(high <= low for low, high in itertools.pairwise(found)):
        raise ConfigurationError(f"expected increasing {name}, got {', '.join(map(str, values))}")
    for value in found:
        require_budget(value, norm, first[0].numel())
    return found


def _stated(
    given: RobustnessSettings, images: ImageSet, modules: Mapping[str, nn.Module]
) -> dict[str, Any]:
    return {
        "at": list(given.at),
        "linf": list(given.linf),
        "adaptive": given.adaptive.settings(quick=False),
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
