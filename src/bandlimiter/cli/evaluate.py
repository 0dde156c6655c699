"""``bandlimiter evaluate``: attack a classifier and judge it plain and defended."""

from pathlib import Path
from typing import Annotated

import typer

from bandlimiter.cli import options
from bandlimiter.cli.guard import guarded
from bandlimiter.cli.output import own_stdout, show


@guarded
def evaluate(
    model: options.Model = "sample",
    weights: options.Weights = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="sample, cifar10:PATH, imagefolder:PATH, npz:FILE (keys x, y), foolbox:NAME. "
            "Default: sample, for models of CIFAR-10.",
            rich_help_panel="Model and data",
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(help="Take the first N images.", rich_help_panel="Model and data"),
    ] = None,
    subset: Annotated[
        int | None,
        typer.Option(help="Take N images at random.", rich_help_panel="Model and data"),
    ] = None,
    attack: Annotated[
        list[str] | None,
        typer.Option(
            help="fgsm, pgd, deepfool, cw; repeatable. Default: all four.",
            rich_help_panel="Attacks",
        ),
    ] = None,
    adversarial: Annotated[
        list[Path] | None,
        typer.Option(
            help="Judge saved adversarial images (safetensors); repeatable. Alone, no attack "
            "is run.",
            rich_help_panel="Attacks",
        ),
    ] = None,
    protocol: Annotated[
        str,
        typer.Option(
            help="minimal (the paper's: the smallest perturbation found), fixed (the whole "
            "budget) or both.",
            rich_help_panel="Attacks",
        ),
    ] = "both",
    epsilon: Annotated[
        str,
        typer.Option(help="L-inf budget in pixels.", rich_help_panel="Attacks"),
    ] = "8/255",
    quick: Annotated[
        bool,
        typer.Option(
            "--quick", help="Fewer attack steps; not the paper's.", rich_help_panel="Attacks"
        ),
    ] = False,
    radius: options.Radius = None,
    directions: options.Directions = 15,
    sampler: options.SamplerName = "directions",
    vote: options.VoteName = "softmax",
    randomness: options.Randomness = "fixed",
    scale: options.Scale = None,
    stop: options.Stop = "auto",
    alpha: options.Alpha = None,
    accelerate: options.Accelerate = False,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    out: Annotated[
        Path | None,
        typer.Option(
            help="A new folder for rows (JSON lines, as they come), settings and result.",
            rich_help_panel="Run",
        ),
    ] = None,
    save_adversarial: Annotated[
        bool,
        typer.Option(
            "--save-adversarial",
            help="Write the adversarial images (safetensors) into --out.",
            rich_help_panel="Run",
        ),
    ] = False,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Attack a classifier; report plain and defended accuracy and the defence rate.

    The attacks see the plain model only, as in the paper. [bold]minimal[/bold] is the
    paper's protocol; [bold]fixed[/bold] spends the whole budget; the two say very different
    things.

    For instance, from quick to thorough:

      bandlimiter evaluate --limit 20 --attack fgsm --attack pgd

      bandlimiter evaluate --model torchvision:resnet50 --data imagefolder:val

      bandlimiter evaluate --model cifar-resnet56 --weights FILE --data cifar10:DIR
    """
    from bandlimiter.attacks import ATTACKS
    from bandlimiter.cli.progress import rows_progress
    from bandlimiter.cli.setup import (
        PROBE,
        build_defended,
        default_data,
        resolve_alpha,
        sped_up,
    )
    from bandlimiter.data import load_data
    from bandlimiter.evaluation import evaluate as run
    from bandlimiter.evaluation import read_adversarial, resolve_stop

    with own_stdout():
        budget = options.parse_epsilon(epsilon)
        saved = [read_adversarial(path) for path in adversarial or []]
        names = attack or ([] if saved else list(ATTACKS))
        defended = build_defended(
            model,
            weights,
            radius=radius,
            directions=directions,
            sampler=sampler,
            vote=vote,
            randomness=randomness,
            scale=scale,
            seed=seed,
            device=device,
        )
        if data is None:
            data = default_data(defended.classifier)
        size = defended.classifier.input_size or 224
        images = load_data(data, limit, subset, seed, size=size)
        level = resolve_alpha(stop, alpha)
        resolve_stop(defended.defence, stop, level)
        if accelerate:
            defended = sped_up(defended, images.images(0, min(len(images), PROBE)))
        settings = {**defended.settings, "data": data, "limit": limit, "subset": subset}
        settings["adversarial"] = [str(path) for path in adversarial or []]
        with rows_progress() as progress:
            evaluation = run(
                defended.classifier.module,
                defended.defence,
                images,
                [*names, *saved],
                protocol=protocol,
                epsilon=budget,
                out=out,
                seed=seed,
                quick=quick,
                stop=stop,
                alpha=level,
                save_adversarial=save_adversarial,
                settings=settings,
                progress=progress,
            )
    show(evaluation.tables, as_json)
