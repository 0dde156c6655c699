"""A run: every image through every attack, both models judged, one row each (paper, 4.2)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bandlimiter.attacks import Attack, Target
from bandlimiter.data import ArrayImages, ImageSet
from bandlimiter.defence import PostAverage
from bandlimiter.errors import ConfigurationError
from bandlimiter.evaluation.adaptive import Adaptive
from bandlimiter.evaluation.adversarial_sets import AdversarialCollector
from bandlimiter.evaluation.cases import CleanBatch
from bandlimiter.evaluation.inspection import Inspection
from bandlimiter.evaluation.judge import Judge
from bandlimiter.evaluation.lineup import line_up
from bandlimiter.evaluation.preflight import (
    require_fitting,
    require_ready,
    resolve_attacks,
    resolve_stop,
    resolve_threat,
)
from bandlimiter.evaluation.trials import Done, Trials
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
    threat: str = "both",
    adaptive: Adaptive | None = None,
    rivals: Sequence[str] = (),
    out: Path | str | None = None,
    seed: int = 0,
    quick: bool = False,
    stop: str = "auto",
    alpha: float = 1e-3,
    save_adversarial: bool = False,
    settings: dict[str, Any] | None = None,
    progress: Progress | None = None,
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
        Images and labels: a set from `load_data`, or two tensors, x [N, ...] pixels in
        [0, 1] and y [N] class indices.
    attacks
        On the plain model: names (``fgsm``, ``pgd``, ``deepfool``, ``cw``) or `Attack`
        objects.
    protocol
        For attacks given by name: ``"minimal"`` (the paper's: the smallest perturbation
        found, counted if within epsilon), ``"fixed"`` (the full budget) or ``"both"``.
    epsilon
        Budget in pixels: L-inf, in (0, 1]; for ``adaptive`` in its norm.
    threat
        ``"transfer"``, ``"adaptive"`` or ``"both"``.
    adaptive
        How the defended model itself is attacked; the defaults of `Adaptive` where omitted.
    rivals
        Names of other defences at hand (``one-neighbour``, ``gaussian``, ``ball``,
        ``bit-depth``, ``jpeg``), judged and attacked beside a `PostAverage`.
    out
        A new folder for rows (written as they come), timings, settings and the result.
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
    save_adversarial
        Also write each attack's adversarial images (safetensors) into ``out``.
    settings
        More facts to keep with the result.
    progress
        Called as rows come.

    Returns
    -------
    Evaluation
        Rows and tables; ``tables["warnings"]`` lists signs that an attack was weak.

    Raises
    ------
    ConfigurationError
        For settings out of range, unknown names, the same attack twice, a model in training
        mode, or an ``out`` that holds a run.
    InputError
        For images outside [0, 1] or of a shape that the model does not take, NaN in images
        or logits, labels out of range, saved images that belong to none of these; for a
        defence without a gradient where no stage of the cascade can do without.
    """
    require_ready(model, defence)
    early = resolve_stop(defence, stop, alpha)
    images = data if isinstance(data, ImageSet) else ArrayImages("given", *data)
    first = images.images(0, 1)
    knowing = resolve_threat(threat, adaptive or Adaptive(), epsilon, first.shape[1:])
    if quick and knowing is not None:
        knowing = knowing.quickened()
    chosen = [] if threat == "adaptive" else resolve_attacks(attacks, protocol, quick)
    if save_adversarial and out is None:
        raise ConfigurationError("expected a folder (out) to save adversarial images to")
    facts = {
        **(settings or {}),
        **(defence.settings if isinstance(defence, PostAverage) else {}),
        "stop": early,
        "alpha": alpha if early == "anytime" else None,
        "attacks": [f"{attack.name}/{attack.protocol}" for attack in chosen],
        "quick": quick,
        "epsilon": epsilon,
        "protocol": protocol,
        "threat": threat,
        "adaptive": None if knowing is None else asdict(knowing),
        "rivals": list(rivals),
        "seed": seed,
    }
    with RowWriter(None if out is None else Path(out), facts) as writer:
        teller = _Teller(progress, writer)
        judges = line_up(
            model,
            defence,
            rivals,
            adaptive=knowing,
            example=first,
            epsilon=epsilon,
            seed=seed,
            stop=early,
            alpha=alpha,
            heartbeat=teller.beat,
        )
        require_fitting(judges[0], images, chosen, judges[0].place(first))
        trials = Trials(
            judges, chosen, knowing, quick=quick, announce=teller.tell, heartbeat=teller.beat
        )
        teller.total = len(images) * trials.rows_per_image
        inspection = Inspection(judges[0], knowing)
        kept = AdversarialCollector() if save_adversarial else None
        try:
            for batches in _clean_batches(judges, images):
                for done in trials.run(batches):
                    _keep(done, writer, kept)
                inspection.look(batches[0])
        finally:  # whatever ends the run, what was found is kept
            if kept and out is not None and writer.rows:
                kept.write(Path(out))
        warnings = [finding.document() for finding in inspection.findings(writer.rows)]
        tables = summarise(writer.rows, facts, warnings)
        writer.write_document(RESULT, tables)
        teller.tell("done")
    return Evaluation(writer.rows, tables)


def _clean_batches(judges: Sequence[Judge], images: ImageSet) -> Iterator[list[CleanBatch]]:
    """Yield batches, each as every judge's defence answers it."""
    size = min(_MOST_IMAGES_A_BATCH, ChunkLimit("auto").resolve(images.images(0, 1)))
    for start in range(0, len(images), size):
        part = slice(start, min(start + size, len(images)))
        pixels = judges[0].place(images.images(part.start, part.stop))
        given = pixels, images.labels[part], images.ids[part]
        own = judges[0].clean(*given)
        yield [own, *(judge.clean(*given, plain=own.plain) for judge in judges[1:])]


def _keep(done: Done, writer: RowWriter, kept: AdversarialCollector | None) -> None:
    writer.add(done.rows)
    writer.add_timing(
        attack=done.trial.name,
        protocol=done.trial.protocol,
        threat=done.trial.threat,
        images=len({row.image for row in done.rows}),
        seconds=done.seconds,
    )
    if kept:
        kept.add(done)


class _Teller:
    """Tells a caller how far the run is, also from within a long attack."""

    def __init__(self, progress: Progress | None, writer: RowWriter) -> None:
        self._progress, self._writer, self.total = progress, writer, 0
        self._doing = "starting"

    def tell(self, doing: str) -> None:
        self._doing = doing
        self._call(doing)

    def beat(self, target: Target) -> None:
        self._call(f"{self._doing}, {target.gradients:,} gradients, {target.queries:,} queries")

    def _call(self, what: str) -> None:
        if self._progress:
            self._progress(len(self._writer.rows), self.total, what)
