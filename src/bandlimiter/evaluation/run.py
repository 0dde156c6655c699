"""A run: every image through every attack, both models judged, one row each (paper, 4.2)."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bandlimiter.attacks import Attack, Target
from bandlimiter.data import ArrayImages, ImageSet
from bandlimiter.defence import PostAverage
from bandlimiter.errors import ConfigurationError
from bandlimiter.evaluation.adversarial_sets import AdversarialCollector
from bandlimiter.evaluation.judge import CleanBatch, Judge
from bandlimiter.evaluation.preflight import (
    require_fitting,
    require_ready,
    resolve_attacks,
    resolve_stop,
)
from bandlimiter.results import Row, RowWriter, summarise
from bandlimiter.results.store import RESULT
from bandlimiter.tensors import ChunkLimit

Progress = Callable[[int, int, str], None]
"""Called with rows done, rows in all, and what goes on."""

# Small enough that rows come while a person waits, large enough that passes stay full: from
# 30 images a pass on, a CPU gains nothing.
_MOST_IMAGES_A_BATCH = 25


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
    """

    rows: list[Row]
    tables: dict[str, Any]


def evaluate(
    model: nn.Module,
    defence: nn.Module,
    data: ImageSet | tuple[torch.Tensor, torch.Tensor],
    attacks: Sequence[str | Attack] = ("fgsm", "pgd", "deepfool", "cw"),
    *,
    protocol: str = "both",
    epsilon: float = 8 / 255,
    out: Path | str | None = None,
    seed: int = 0,
    quick: bool = False,
    stop: str = "auto",
    alpha: float = 1e-3,
    save_adversarial: bool = False,
    settings: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Attack the plain model; judge the plain and the defended one on the same images.

    The paper's sets (section 4.2): the Clean set is ``data``. In the Attacked set each
    correctly classified image is replaced by the attack's where one was found within
    ``epsilon``; all others stay. The attacks do not know the defence.

    Parameters
    ----------
    model
        The plain classifier, pixels in [0, 1] -> logits, in eval mode.
    defence
        The defended one, for example ``PostAverage(model, radius=6)``.
    data
        Images and labels: a set from `load_data`, or two tensors, x [N, ...] pixels in
        [0, 1] and y [N] class indices.
    attacks
        Names (``fgsm``, ``pgd``, ``deepfool``, ``cw``) or `Attack` objects.
    protocol
        For attacks given by name: ``"minimal"`` (the paper's: the smallest perturbation
        found, counted if within epsilon), ``"fixed"`` (the full budget) or ``"both"``.
    epsilon
        L-inf budget in pixels, in (0, 1].
    out
        A new folder for rows (written as they come), timings, settings and the result.
    seed
        Names all random draws of the attacks.
    quick
        Attacks with fewer steps; marked in every row and table.
    stop, alpha
        How early the defended model may answer; see `PostAverage.predict`. ``"auto"``: as
        early as changes no label (``"exact"``, where the vote allows it). ``"anytime"`` can
        change a row, with probability at most alpha, and is kept with the settings.
    save_adversarial
        Also write each attack's adversarial images (safetensors) into ``out``.
    settings
        More facts to keep with the result.
    progress
        Called as rows come.

    Returns
    -------
    Evaluation
        Rows and tables.

    Raises
    ------
    ConfigurationError
        For settings out of range, unknown names, the same attack twice, a model in training
        mode, or an ``out`` that holds a run.
    InputError
        For images outside [0, 1] or of a shape that the model does not take, NaN in images
        or logits, labels out of range, saved images that belong to none of these.
    """
    if not 0 < epsilon <= 1:
        raise ConfigurationError(f"expected epsilon in (0, 1], in pixels; got {epsilon}")
    if save_adversarial and out is None:
        raise ConfigurationError("expected a folder (out) to save adversarial images to")
    require_ready(model, defence)
    early = resolve_stop(defence, stop, alpha)
    chosen = resolve_attacks(attacks, protocol, quick)
    images = data if isinstance(data, ImageSet) else ArrayImages("given", *data)
    facts = {
        **(settings or {}),
        **(defence.settings if isinstance(defence, PostAverage) else {}),
        "stop": early,
        "alpha": alpha if early == "anytime" else None,
        "attacks": [f"{attack.name}/{attack.protocol}" for attack in chosen],
        "quick": quick,
        "epsilon": epsilon,
        "protocol": protocol,
        "seed": seed,
    }
    kept = AdversarialCollector(chosen) if save_adversarial else None
    with RowWriter(None if out is None else Path(out), facts) as writer:
        teller = _Teller(progress, writer, len(images) * len(chosen))
        judge = Judge(
            model,
            defence,
            epsilon=epsilon,
            seed=seed,
            stop=early,
            alpha=alpha,
            heartbeat=teller.beat,
        )
        require_fitting(judge, images, chosen, judge.place(images.images(0, 1)))
        try:
            for batch in _clean_batches(judge, images):
                for attack in chosen:
                    teller.tell(f"{attack.name} {attack.protocol}")
                    _attack(judge, attack, batch, writer, kept)
        finally:  # whatever ends the run, what was found is kept
            if kept and out is not None and writer.rows:
                kept.write(Path(out))
        tables = summarise(writer.rows, facts)
        writer.write_document(RESULT, tables)
        teller.tell("done")
    return Evaluation(writer.rows, tables)


def _clean_batches(judge: Judge, images: ImageSet) -> Iterator[CleanBatch]:
    size = min(_MOST_IMAGES_A_BATCH, ChunkLimit("auto").resolve(images.images(0, 1)))
    for start in range(0, len(images), size):
        part = slice(start, min(start + size, len(images)))
        pixels = judge.place(images.images(part.start, part.stop))
        yield judge.clean(pixels, images.labels[part], images.ids[part])


def _attack(
    judge: Judge,
    attack: Attack,
    batch: CleanBatch,
    writer: RowWriter,
    kept: AdversarialCollector | None,
) -> None:
    started = time.perf_counter()
    rows, found = judge.attack(attack, batch)
    seconds = time.perf_counter() - started
    writer.add(rows)
    writer.add_timing(
        attack=attack.name, protocol=attack.protocol, images=len(rows), seconds=seconds
    )
    if kept:
        kept.add(attack, *found)


class _Teller:
    """Tells a caller how far the run is, also from within a long attack."""

    def __init__(self, progress: Progress | None, writer: RowWriter, total: int) -> None:
        self._progress, self._writer, self._total = progress, writer, total
        self._doing = "starting"

    def tell(self, doing: str) -> None:
        self._doing = doing
        self._call(doing)

    def beat(self, target: Target) -> None:
        self._call(f"{self._doing}, {target.gradients:,} gradients")

    def _call(self, what: str) -> None:
        if self._progress:
            self._progress(len(self._writer.rows), self._total, what)
