"""``bandlimiter reproduce``: a table or figure of the paper, measured again."""

import math
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from bandlimiter.cli import attack_options, executor_options, options
from bandlimiter.cli.error_handling import one_line_errors
from bandlimiter.cli.output import answer, own_stdout
from bandlimiter.cli.reproduce.limits import read_limits
from bandlimiter.errors import ConfigurationError


class Experiment(StrEnum):
    """What the paper calls it."""

    TABLE1 = "table1"
    TABLE2 = "table2"
    FIGURE1 = "figure1"
    FIGURE2 = "figure2"
    FIGURE3 = "figure3"


_VALUES = {
    Experiment.TABLE1: "one budget, like 8/255",
    Experiment.TABLE2: "numbers of directions K",
    Experiment.FIGURE2: "radii r",
    Experiment.FIGURE3: "budgets, like 8/255",
}


@one_line_errors
def reproduce(
    what: Annotated[Experiment, typer.Argument(help="Which of the paper's.", metavar="WHAT")],
    model: options.Model = "sample",
    weights: options.Weights = None,
    weights_key: options.WeightsKey = None,
    data: options.Data = None,
    size: options.Size = None,
    limit: Annotated[
        list[str] | None,
        typer.Option(
            help="Take the first N images; pgd=N for fewer under one attack; repeatable.",
            rich_help_panel="Model and data",
        ),
    ] = None,
    attack: attack_options.PaperAttack = None,
    values: Annotated[
        str | None,
        typer.Option(
            help="Other points, separated by commas: radii for figure2, K for table2, budgets for "
            "figure3 and table1.",
            rich_help_panel="Attacks",
        ),
    ] = None,
    quick: attack_options.Quick = False,
    radius: options.Radius = None,
    scale: options.Scale = None,
    precision: attack_options.Precision = "auto",
    seed: options.Seed = 0,
    device: options.Device = "auto",
    executor: executor_options.Executor = "local",
    workers: executor_options.Workers = None,
    threads: executor_options.Threads = None,
    address: executor_options.Address = None,
    gpus: executor_options.GpusPerWorker = 0.0,
    devices: executor_options.Devices = None,
    shard_images: options.ShardImages = None,
    out: Annotated[
        Path,
        typer.Option(
            help="Folder of runs; tables and pictures go into a folder WHAT inside it.",
            rich_help_panel="Run",
        ),
    ] = Path("runs"),
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Measure a table or figure of the paper again, with its figures beside.

    [bold]table1[/bold]: four attacks and the sizes of their perturbations. [bold]table2[/bold]: K
    = 6, 15, 30, 60, with the time of an answer. [bold]figure2[/bold]: defence rate over the
    radius. [bold]figure3[/bold]: over the budget. [bold]figure1[/bold]: an input space cut by
    three layers.

    The plain model is attacked once; every radius, K and budget answers to the same images.
    All of it is kept in --out: the same command again goes on where it was stopped, and another
    table uses what is there. Beside the paper's smallest perturbations stand those that spend
    the whole budget.

    For instance:

      bandlimiter reproduce figure2 --limit 10 --attack fgsm --quick

      bandlimiter reproduce table1 --model cifar-resnet110 --weights FILE --data cifar10:DIR

      bandlimiter reproduce table1 --limit 300 --limit cw=40 --executor processes --workers 2
    """
    folder = out / what
    if what is Experiment.FIGURE1:
        _require_none_of(
            model=model != "sample",
            weights=weights,
            weights_key=weights_key,
            data=data,
            size=size,
            limit=limit,
            attack=attack,
            values=values,
            quick=quick,
            radius=radius,
            scale=scale,
        )
        from bandlimiter.cli.reproduce.figure1 import figure1

        document = figure1(folder, seed=seed)
    else:
        everyone, single = read_limits(limit or [])
        if what is Experiment.FIGURE2 and values is not None and radius is not None:
            raise ConfigurationError(
                "expected --radius (the centre of figure2's usual radii) or --values, got both"
            )
        with own_stdout():
            from bandlimiter.cli.reproduce.studies import StudyOptions, run_study

            asked = StudyOptions(
                what,
                tuple(attack or ()),
                _read_values(what, values),
                everyone,
                single,
                quick=quick,
                out=out,
                precision=precision,
                shard_images=shard_images,
                executor=executor_options.build(executor, workers, threads, address, gpus, devices),
            )
            document = run_study(
                asked,
                model=model,
                weights=weights,
                weights_key=weights_key,
                data=data,
                size=size,
                radius=radius,
                scale=scale,
                seed=seed,
                device=device,
            )
    answer(document, as_json, _show)


def _require_none_of(**given: object) -> None:
    """Refuse options that figure 1, which has a small network of its own, knows nothing of."""
    vain = [f"--{name.replace('_', '-')}" for name, value in given.items() if value]
    if vain:
        raise ConfigurationError(
            f"expected figure1 without {', '.join(vain)}: it trains a network of two inputs; "
            "bandlimiter regions takes one of yours"
        )


def _read_values(what: Experiment, text: str | None) -> tuple[float, ...]:
    if text is None:
        return ()
    read = options.parse_epsilon if what in (Experiment.TABLE1, Experiment.FIGURE3) else float
    try:
        found = tuple(read(part) for part in text.split(","))
    except ValueError:
        raise ConfigurationError(f"expected --values with {_VALUES[what]}, got {text!r}") from None
    usable = all(math.isfinite(value) and value > 0 for value in found)
    if not usable or len(set(found)) < len(found) or (what is Experiment.TABLE1 and len(found) > 1):
        raise ConfigurationError(
            f"expected --values with {_VALUES[what]}, above 0, each once; got {text!r}"
        )
    return found


def _show(document: dict[str, Any]) -> None:
    from rich.console import Console

    from bandlimiter.report.experiments import experiment_tables

    console = Console()
    console.print(experiment_tables(document))
    console.print(document["verdict"], highlight=False, markup=False)
    for path in document["files"]:
        console.print(path, highlight=False, markup=False, soft_wrap=True)
