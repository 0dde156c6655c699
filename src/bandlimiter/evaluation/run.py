"""A run: every image through every attack, both models judged, one row each (paper, 4.2)."""

import time
from collections.abc import Callable, Sequence
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
from bandlimiter.evaluation.judge import Judge
from bandlimiter.evaluation.preflight import (
    place_of,
    require_fitting,
    require_ready,
    resolve_attacks,
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
    chosen = resolve_attacks(attacks, protocol, quick)
    images = data if isinstance(data, ImageSet) else ArrayImages("given", *data)
    facts = {
        **(settings or {}),
        **(defence.settings if isinstance(defence, PostAverage) else {}),
        "attacks": [f"{attack.name}/{attack.protocol}" for attack in chosen],
        "epsilon": epsilon,
        "protocol": protocol,
        "seed": seed,
    }
    kept = AdversarialCollector(chosen) if save_adversarial else None
    total = len(images) * len(chosen)

    with RowWriter(None if out is None else Path(out), facts) as writer:

        def show(what: str, target: Target | None = None) -> None:
            if progress:
                gradients = f", {target.gradients:,} gradients" if target else ""
                progress(len(writer.rows), total, what + gradients)

        doing = "starting"
        judge = Judge(
            model,
            defence,
            epsilon=epsilon,
            seed=seed,
            heartbeat=lambda target: show(doing, target),
        )
        place = place_of(model)
        require_fitting(judge, images, chosen, place)
        try:
            for start, stop in _batches(images):
                doing = "clean"
                pixels = images.images(start, stop).to(**place)
                batch = judge.clean(pixels, images.labels[start:stop], images.ids[start:stop])
                for attack in chosen:
                    doing = f"{attack.name} {attack.protocol}"
                    show(doing)
                    started = time.perf_counter()
                    rows, found = judge.attack(attack, batch)
                    writer.add(rows)
                    writer.add_timing(
                        attack=attack.name,
                        protocol=attack.protocol,
                        images=len(rows),
                        seconds=time.perf_counter() - started,
                    )
                    if kept:
                        kept.add(attack, *found)
        finally:
            if kept and out is not None and writer.rows:
                kept.write(Path(out))
        tables = summarise(writer.rows, facts)
        writer.write_document(RESULT, tables)
        show("done")
    return Evaluation(writer.rows, tables)


def _batches(images: ImageSet) -> list[tuple[int, int]]:
    size = min(_MOST_IMAGES_A_BATCH, ChunkLimit("auto").resolve(images.images(0, 1)))
    return [(start, min(start + size, len(images))) for start in range(0, len(images), size)]
