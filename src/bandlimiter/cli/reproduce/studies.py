"""From what a command asks for to an experiment's document, its pictures and its table."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bandlimiter.attacks import attack_names
from bandlimiter.cli.files import make_folder, write_json
from bandlimiter.cli.images import ModelImages
from bandlimiter.cli.progress import rows_progress
from bandlimiter.cli.setup import build_defended, default_data
from bandlimiter.draw.plotting import new_figure
from bandlimiter.draw.sweeps import draw_experiment
from bandlimiter.errors import ConfigurationError
from bandlimiter.evaluation.executors import Executor
from bandlimiter.evaluation.reproduction import ATTACKS, EXPERIMENTS, Study
from bandlimiter.report.experiments import experiment_markdown
from bandlimiter.results.files import write_whole
from bandlimiter.results.runs.folder import DATABASE


@dataclass(frozen=True)
class StudyOptions:
    """What a command asks for, beside models and data.

    ``values`` are the points of a sweep, empty for the paper's; ``limit`` is the number of
    images, ``limits`` those of single attacks where there are fewer.
    """

    what: str
    attacks: tuple[str, ...]
    values: tuple[float, ...]
    limit: int | None
    limits: Mapping[str, int]
    quick: bool
    precision: str
    out: Path
    shard_images: int | None
    executor: Executor


def run_study(
    asked: StudyOptions, *, data: str | None, size: int | None, **built: Any
) -> dict[str, Any]:
    """Run an experiment; ``built`` are `build_defended`'s arguments.

    Returns
    -------
    dict
        Its document, with ``files``, what was written.
    """
    if (asked.out / DATABASE).exists():
        raise ConfigurationError(
            f"expected a folder of runs as --out, {asked.out} is a run itself; name another one"
        )
    new_figure(1, 1, 1)  # says now, and not after hours, that matplotlib is missing
    defended = build_defended(**built)
    attacks = _attacks(asked)  # after the model, whose module may register some of its own
    make_folder(asked.out / asked.what)
    data = data or default_data(defended.classifier)
    shown = ModelImages(defended.classifier, size)
    images = shown.load(data, asked.limit, None, built["seed"])
    with rows_progress() as progress:
        study = Study(
            defended.classifier.module,
            defended.defence,
            images,
            asked.out,
            asked.executor,
            seed=built["seed"],
            quick=asked.quick,
            precision=asked.precision,
            shard_images=asked.shard_images,
            settings={
                **defended.settings,
                "threads": asked.executor.threads,
                "data": data,
                "size": shown.size,
                "limit": asked.limit,
                "limits": dict(asked.limits),
            },
            progress=progress,
        )
        document = EXPERIMENTS[asked.what](study, attacks, asked.limits, asked.values)
    return _written(document, asked.out / asked.what)


def default_attacks(what: str) -> tuple[str, ...]:
    """Return the attacks that the paper shows there: all four, PGD alone in table 2."""
    return ("pgd",) if what == "table2" else ATTACKS


def _attacks(asked: StudyOptions) -> tuple[str, ...]:
    """Return the attacks that are made; refuse those that search for no smallest perturbation."""
    attacks = asked.attacks or default_attacks(asked.what)
    known = attack_names("minimal")
    unknown = [name for name in (*attacks, *asked.limits) if name not in known]
    if unknown:
        raise ConfigurationError(f"expected attacks of {', '.join(known)}; got {unknown[0]!r}")
    idle = [name for name in asked.limits if name not in attacks]
    if idle:
        raise ConfigurationError(
            f"expected limits of attacks that are made, got one of {idle[0]}; the attacks are "
            f"{', '.join(attacks)}"
        )
    return attacks


def _written(document: dict[str, Any], folder: Path) -> dict[str, Any]:
    stem = folder / document["experiment"]
    files = [stem.with_suffix(".json"), stem.with_suffix(".md")]
    files += draw_experiment(document, stem)
    document["files"] = [str(path) for path in files]
    write_json(files[0], document)
    write_whole(files[1], experiment_markdown(document))
    return document
