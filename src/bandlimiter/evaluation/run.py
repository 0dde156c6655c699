"""A run: every image through every attack, both models judged, one row each (paper, 4.2)."""

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from bandlimiter.attacks import Attack
from bandlimiter.data import ImagesLike
from bandlimiter.errors import ConfigurationError, InputError
from bandlimiter.evaluation.adaptive import Adaptive
from bandlimiter.evaluation.adversarial_sets import write_adversarial
from bandlimiter.evaluation.checking import conclude
from bandlimiter.evaluation.crash_marker import crash_marker
from bandlimiter.evaluation.executors import Executor, InProcess, run_shards
from bandlimiter.evaluation.phases import LOADING, WRITING, phase, timed
from bandlimiter.evaluation.plan import Plan, make_plan
from bandlimiter.evaluation.probe import MOST_SLICES, ChangedError
from bandlimiter.evaluation.progress import Progress, ProgressReporter
from bandlimiter.evaluation.screened import SAFETY
from bandlimiter.evaluation.validation import default_attacks
from bandlimiter.evaluation.worker import Worker
from bandlimiter.results import NONE, OURS, Row, summarise
from bandlimiter.results.phases import seconds_by_phase
from bandlimiter.results.runs import RunStore, Shard

RESULT = "result.json"


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found.

    Attributes
    ----------
    rows
        One for each image and attack.
    tables
        The JSON document made from them: ``settings``, ``clean``, ``results``,
        ``worst_case``, ``verdict``; see `results.summarise`.
    seconds
        Where the time went, by phase, added up over all processes and earlier calls.
    """

    rows: list[Row]
    tables: dict[str, Any]
    seconds: dict[str, float] = field(default_factory=dict)


def evaluate(
    model: nn.Module,
    defence: nn.Module,
    data: ImagesLike,
    attacks: Sequence[str | Attack] | None = None,
    *,
    protocol: str = "both",
    epsilon: float = 8 / 255,
    threat: str = "both",
    targets: str | Path | torch.Tensor | None = None,
    adaptive: Adaptive | None = None,
    baselines: Sequence[str] = (),
    others: Mapping[str, nn.Module] | None = None,
    out: Path | str | None = None,
    seed: int = 0,
    quick: bool = False,
    stop: str = "auto",
    alpha: float = 1e-3,
    precision: str = "auto",
    save_adversarial: bool = False,
    executor: Executor | None = None,
    shard_images: int | None = None,
    settings: dict[str, Any] | None = None,
    progress: Progress | None = None,
    rivals: Sequence[str] = (),
) -> Evaluation:
    """Attack the plain and the defended model; judge both on the same images.

    Two questions, with two kinds of answers. Under the threat ``transfer`` attacks see the
    plain model only, as in the paper (section 4.2): the Clean set is ``data``; in the Attacked
    set each correctly classified image is replaced by the attack's where one was found within
    ``epsilon``; all others stay. Under ``adaptive`` they know the defence: a cascade of attacks
    takes turns at each image that the defended model has right, and what is left is the worst
    case. The plain model faces the same cascade.

    Parameters
    ----------
    model
        The plain classifier, pixels in [0, 1] -> logits, in eval mode.
    defence
        The defended one, for example ``PostAverage(model, radius=6)``.
    data
        Images and labels: a set from `load_data`; two tensors, x [N, ...] pixels in
        [0, 1] and y [N] class indices; a ``DataLoader`` that does not shuffle, or a ``Dataset``,
        which are read once, in order. See `bandlimiter.data.as_images`.
    attacks
        On the plain model: names of `bandlimiter.attacks.ATTACKS`, or `Attack` objects. Where
        omitted ``fgsm``, ``pgd``, ``deepfool`` and ``cw``, or with ``targets`` those of them that
        have a targeted form (not ``deepfool``).
    protocol
        For attacks given by name: ``"minimal"`` (the paper's: the smallest perturbation
        found, counted if within epsilon), ``"fixed"`` (the full budget) or ``"both"``.
    epsilon
        Budget in pixels: L-inf, in (0, 1]; for ``adaptive`` in its norm.
    threat
        ``"transfer"``, ``"adaptive"`` or ``"both"``.
    targets
        Where omitted, any wrong class is a success. Else only one class per image is:
        ``"least-likely"`` (of the plain model's smallest logit on the clean image), ``"next"``
        (the label plus one, the last class's being 0), [N] class indices in the order of
        ``data``, or a file of them (``.csv``, ``.npy``). An image whose label is its target is
        not attacked.
    adaptive
        How the defended model itself is attacked; the defaults of `Adaptive` where omitted.
    baselines
        Names of other defences at hand (``one-neighbour``, ``gaussian``, ``ball``,
        ``bit-depth``, ``jpeg``), judged and attacked beside a `PostAverage`.
    others
        More defended models by name, judged and attacked beside; no name that a baseline, the run's
        own defence (``post-averaging``) or the plain model (``none``) has.
    out
        The run's folder: rows as they come, adversarial images, timings, settings and the
        result. Where it holds an unfinished run with the same settings, that is continued;
        see `bandlimiter.results.runs`.
    seed
        Names all random draws of the attacks.
    quick
        Attacks with fewer steps (on the defence at most 10, and 100 queries); marked in every
        row and table.
    stop, alpha
        How early the defended model may answer; see `PostAverage.predict`. ``"auto"``: as
        early as changes no label (``"exact"``, where the vote allows it). ``"anytime"`` can
        change a row, with probability at most alpha, and is kept with the settings. Attacks
        on the defence always face the full average.
    precision
        ``"auto"``: attacks that take many gradients have them from a fast copy of the model
        (folded, in bfloat16 where the machine computes in it), and what seems a success counts
        where the model itself says so; a defence's labels come from the copy where their lead is
        more than rounding can have changed, which is measured, and from the model elsewhere.
        ``"float32"``: the model does everything, in eager mode. Models in another format than
        float32 are done in their own.
    save_adversarial
        Also write each attack's adversarial images (safetensors) into ``out``.
    executor
        Who does the work: this process (where omitted), several, or Ray; see
        `bandlimiter.evaluation.executors`. Rows do not depend on it, but for the number of
        threads.
    shard_images
        How many images are worked on, kept and lost together; 25 where omitted, fewer of large
        ones, more on a GPU.
    settings
        More facts to keep with the result.
    progress
        Called as rows come.
    rivals
        The name of ``baselines`` before; kept for one version.

    Returns
    -------
    Evaluation
        Rows and tables; ``tables["warnings"]`` lists signs that an attack was weak.

    Raises
    ------
    ConfigurationError
        For settings out of range, unknown names, the same attack twice, targets for an attack
        without a targeted form, two defences of one name, a model in training mode or whose
        answers depend on the batch, a scale that was misread (see
        `PostAverage.require_fitting`), an ``out`` that holds another run or is in use, or models
        that cannot be sent to other processes.
    InputError
        Where the first image lies outside [0, 1], has a shape that the model does not take, or
        gives NaN; for labels or targets out of range, saved images that belong to none of these, a
        defence without a gradient where no stage of the cascade can do without. What befalls
        later images only is kept in their rows, as ``error``; this comes where no image is left.
    """
    if rivals:
        warnings.warn(
            "evaluate(rivals=...) is called baselines=...", DeprecationWarning, stacklevel=2
        )
    plan = make_plan(
        model,
        defence,
        data,
        default_attacks(targeted=targets is not None, protocol=protocol)
        if attacks is None
        else attacks,
        protocol=protocol,
        epsilon=epsilon,
        threat=threat,
        adaptive=adaptive,
        baselines=[*baselines, *rivals],
        others=others,
        seed=seed,
        quick=quick,
        stop=stop,
        alpha=alpha,
        precision=precision,
        save_adversarial=save_adversarial,
        shard_images=shard_images,
        settings=settings,
        targets=targets,
        kept=out is not None,
    )
    return run_plan(plan, None if out is None else Path(out).absolute(), executor, progress)


def run_plan(
    plan: Plan,
    folder: Path | None,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Do what is left of a planned run; see `evaluate`."""
    executor = executor or InProcess()
    reporter = ProgressReporter(progress, plan)
    with timed() as seconds, phase(LOADING), crash_marker(folder, len(plan.images)) as probe:
        worker = Worker(plan, probe)
        worker.start(reporter.heartbeat)  # refuses what does not fit, before the run is opened
    # What is not kept needs no name.
    identity = {} if folder is None else plan.identity(executor.threads)
    with RunStore(folder, identity, plan.shards, settings=plan.facts) as store:
        _require_same_precision(store, worker)
        _require_same_answers(plan, store, worker)
        try:
            missing = store.missing()
            reporter.resumed(missing)
            with timed() as spent:
                run_shards(store, worker, executor, reporter)
                while narrow := _too_narrow(store, worker):
                    for shard in narrow:
                        store.forget(shard)
                    reporter.resumed(narrow)
                    run_shards(store, worker, executor, reporter)
        finally:  # whatever ends the run, what was found is kept
            if folder is not None and plan.keep_images:
                _write_sets(folder, store, plan)
        rows = store.rows()
        tables = _tables(plan, rows, store.facts(plan.checks).get("findings", []))
        with timed() as closing, phase(WRITING):
            store.write_document(RESULT, tables)
        writing = spent.get(WRITING, 0.0) + closing.get(WRITING, 0.0)
        if missing:
            store.note({"phases": {LOADING: seconds[LOADING], WRITING: writing}})
        reporter.tell("done")
        return Evaluation(rows, tables, seconds_by_phase(store.timings()))


def _require_same_precision(store: RunStore, worker: Worker) -> None:
    """Refuse (ConfigurationError) a machine on which copies compute in another format."""
    begun = {row.precision for row in store.rows() if row.error is None} - {worker.precision}
    if begun and store.missing():
        raise ConfigurationError(
            f"expected fast copies in {begun.pop()}, as this run was started with, got "
            f"{worker.precision} on this machine; go on where it was started, or begin another run"
        )


def _too_narrow(store: RunStore, worker: Worker) -> list[Shard]:
    """Return finished shards that took copies to be off by less than was seen in any.

    These are done again, with d widened.
    """
    largest = max((seen.get("largest_difference", 0.0) for seen in store.timings()), default=0.0)
    bounds = {shard: store.facts(shard).get("bound") for shard in store.shards}
    narrow = [shard for shard, bound in bounds.items() if bound is not None and bound < largest]
    if narrow:
        worker.widen(SAFETY * largest)
    return narrow


def _write_sets(folder: Path, store: RunStore, plan: Plan) -> None:
    """Write a file for each attack, and each defence that was attacked, into ``folder``.

    Its images are those of the run's finished shards.
    """
    missing = {shard.name for shard in store.missing()}
    for item in plan.items:
        kept = [
            store.arrays(shard)
            for shard in plan.shards
            if shard.item == item.name and shard.name not in missing
        ]
        parts = [arrays for arrays in kept if "images" in arrays]
        if not parts:
            continue
        images, ids = (
            torch.from_numpy(np.concatenate([part[key] for part in parts]))
            for key in ("images", "ids")
        )
        made_by = f"{item.spec.name}-{item.spec.protocol}"
        if item.spec.threat == "adaptive":
            made_by += f"-on-{item.defences[0]}"
        file = re.sub(r"[^\w.-]+", "_", f"adversarial-{made_by}.safetensors")
        write_adversarial(folder / file, images, ids, attack=made_by, quick=item.spec.quick)


def _require_same_answers(plan: Plan, store: RunStore, worker: Worker) -> None:
    """Refuse (ChangedError) to go on with models that answer otherwise than at the start."""
    left = {shard.name for shard in store.missing()}
    asked = (shard for shard in plan.shards if shard.item == plan.items[0].name)
    for shard in islice((shard for shard in asked if shard.name not in left), MOST_SLICES):
        try:
            if "probe" in (facts := store.facts(shard)):
                worker.require_same(facts["probe"])
        except ChangedError as error:
            raise ChangedError(f"{error}; name another folder than {store.folder}") from None


def _tables(plan: Plan, rows: list[Row], found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    for name in (OURS, NONE):  # without these there is nothing to set against each other
        errors = [row.error for row in rows if row.defence == name]
        if errors and None not in errors:
            who = "the plain model" if name == NONE else "the defended model"
            raise InputError(
                f"expected at least one image that {who} answers, it failed on all: {errors[0]}"
            )
    return summarise(rows, plan.facts, conclude(found, rows, plan.adaptive))
