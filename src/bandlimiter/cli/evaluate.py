"""``bandlimiter evaluate``: attack a classifier and judge it plain and defended."""

from pathlib import Path
from typing import Annotated

import typer

from bandlimiter.cli import attack_options, executor_options, options, robustness
from bandlimiter.cli.error_handling import one_line_errors
from bandlimiter.cli.output import answer, own_stdout, show_result
from bandlimiter.cli.streams import print_error
from bandlimiter.errors import ConfigurationError


@one_line_errors
def evaluate(
    context: typer.Context,
    model: options.Model = "sample",
    weights: options.Weights = None,
    weights_key: options.WeightsKey = None,
    data: options.Data = None,
    split: options.Split = None,
    size: options.Size = None,
    limit: options.Limit = None,
    subset: options.Subset = None,
    threat: attack_options.Threat = None,
    epsilon: attack_options.Epsilon = "8/255",
    targets: attack_options.Targets = None,
    quick: attack_options.Quick = False,
    baseline: attack_options.Baseline = None,
    rival: attack_options.Rival = None,
    attack: attack_options.Attack = None,
    protocol: attack_options.Protocol = "both",
    adversarial: attack_options.Adversarial = None,
    stage: attack_options.Stage = None,
    steps: attack_options.Steps = 50,
    queries: attack_options.Queries = 500,
    restarts: attack_options.Restarts = 1,
    norm: attack_options.Norm = "linf",
    draws: attack_options.Draws = None,
    redraws: attack_options.Redraws = None,
    broken_share: attack_options.BrokenShare = 0.5,
    curve: attack_options.Curve = False,
    gradient_points: attack_options.GradientPoints = "part",
    at: attack_options.At = None,
    linf: attack_options.Linf = None,
    beside: attack_options.Beside = None,
    samples: attack_options.Samples = 100_000,
    votes: attack_options.Votes = 1000,
    draw: attack_options.Draw = False,
    radius: options.Radius = None,
    sigma: options.Sigma = None,
    directions: options.Directions = 15,
    sampler: options.SamplerName = None,
    vote: options.VoteName = None,
    randomness: options.Randomness = None,
    scale: options.Scale = None,
    stop: options.Stop = "auto",
    alpha: options.Alpha = None,
    accelerate: options.Accelerate = False,
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
        Path | None,
        typer.Option(
            help="The run's folder: rows as they come, settings, result. The same command again "
            "goes on where it was stopped.",
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
    """Attack a classifier, plain and defended, and say what the defence withstands.

    Three answers stand side by side: the paper's protocol ([bold]minimal[/bold] perturbations
    of the plain model), the whole budget spent on the plain model ([bold]fixed[/bold]), and
    the worst case over [bold]adaptive[/bold] attacks, which know the defence. They say very
    different things.

    Averages under Gaussian noise ([bold]--sigma[/bold], or a hardened model) can be
    certified. Unless a threat or an attack is named, they are evaluated from both
    sides: at each L2 radius, the [bold]certified[/bold] accuracy and, above it, the
    accuracy that adaptive attacks leave.

    For instance, from quick to thorough:

      bandlimiter evaluate --limit 20 --attack fgsm --attack pgd --quick

      bandlimiter evaluate --threat adaptive --limit 50 --queries 2000 --baseline gaussian

      bandlimiter evaluate --model sample-hardened --limit 20 --at 0.25,0.5

      bandlimiter evaluate --model torchvision:resnet50 --data imagefolder:val --limit 200

      bandlimiter evaluate --model cifar-resnet56 --weights FILE --data cifar10:DIR
    """
    from bandlimiter.cli.images import ModelImages
    from bandlimiter.cli.progress import rows_progress
    from bandlimiter.cli.setup import (
        PROBE,
        build_defended,
        default_data,
        note_seen,
        resolve_alpha,
        sped_up,
    )
    from bandlimiter.evaluation import default_attacks, read_adversarial, resolve_stop
    from bandlimiter.evaluation import evaluate as run

    with own_stdout():
        budget = options.parse_epsilon(epsilon)
        both_sides = not (threat or attack or adversarial or targets)
        knows = threat or attack_options.default_threat(attack, adversarial)
        if adversarial and knows == "adaptive":
            raise ConfigurationError(
                "expected --adversarial with --threat transfer or both: given images are shown to "
                "the defence, which is no attack on it"
            )
        saved = [read_adversarial(path) for path in adversarial or []]
        defended = build_defended(
            model,
            weights,
            weights_key=weights_key,
            radius=radius,
            sigma=sigma,
            directions=directions,
            sampler=sampler,
            vote=vote,
            randomness=randomness,
            scale=scale,
            seed=seed,
            device=device,
            trained_sigma=True,
        )
        sure = both_sides and defended.defence.sigma is not None
        if draw and not (sure and out):
            attack_options.require_drawing(out, tuple(stage or ()), curve, knows)
        # After the model, whose module may register attacks of its own.
        names = attack or (
            [] if saved else default_attacks(targeted=targets is not None, protocol=protocol)
        )
        adaptive = attack_options.build_adaptive(
            stage,
            steps=steps,
            queries=queries,
            restarts=restarts,
            norm=norm,
            draws=draws,
            redraws=redraws,
            broken_share=broken_share,
            curve=curve,
            gradient_points=gradient_points,
        )
        if data is None:
            data = default_data(defended.classifier)
        shown = ModelImages(defended.classifier, size)
        images = shown.load(data, limit, subset, seed, split)
        note_seen(defended.classifier, images)
        level = resolve_alpha("anytime" if sure else stop, alpha)
        resolve_stop(defended.defence, stop, level)
        if accelerate:
            defended = sped_up(defended, images.images(0, min(len(images), PROBE)))
        work = executor_options.build(executor, workers, threads, address, gpus, devices)
        settings = {**defended.settings, "data": data, "limit": limit, "subset": subset}
        settings["split"], settings["size"], settings["threads"] = split, shown.size, work.threads
        settings["adversarial"] = [str(path) for path in adversarial or []]
        if sure and robustness.applies(defended, images.images(0, 1), certain=bool(at or linf)):
            robustness.require_used(context)
            document, show = (
                robustness.run(
                    defended,
                    images,
                    robustness.adaptive_of(adaptive, draws, stage, quick),
                    others=robustness.others(
                        defended, beside or (), [*(baseline or ()), *_of_rivals(rival)]
                    ),
                    at=at,
                    linf=linf,
                    samples=samples,
                    alpha=level,
                    votes=votes,
                    smallest=curve,
                    out=out,
                    seed=seed,
                    precision=precision,
                    executor=work,
                    shard_images=shard_images,
                    settings={**settings, "quick": quick},
                ),
                robustness.show,
            )
        else:
            if at or linf or beside:
                raise ConfigurationError(
                    "expected --at, --linf and --beside with --sigma or a hardened model, and with "
                    "no --threat and no --attack: there are no certificates else"
                )
            with rows_progress() as progress:
                evaluation = run(
                    defended.classifier.module,
                    defended.defence,
                    images,
                    [*names, *saved],
                    protocol=protocol,
                    epsilon=budget,
                    threat=knows,
                    targets=targets,
                    adaptive=adaptive,
                    baselines=[*(baseline or []), *_of_rivals(rival)],
                    out=out,
                    seed=seed,
                    quick=quick,
                    stop=stop,
                    alpha=level,
                    precision=precision,
                    save_adversarial=save_adversarial,
                    executor=work,
                    shard_images=shard_images,
                    settings=settings,
                    progress=progress,
                )
            if draw and out is not None:
                from bandlimiter.draw.robustness_curves import curves_of, draw_robustness_curves

                curves = curves_of(evaluation.rows, adaptive.stages)
                draw_robustness_curves(*curves, out / "robustness_curves")
            document, show = {**evaluation.tables, "seconds": evaluation.seconds}, show_result
    answer(document, as_json, show)


def _of_rivals(names: list[str] | None) -> list[str]:
    """Take the former name of --baseline, and say the present one."""
    if names:
        print_error("note: --rival is called --baseline now; it goes in the next version")
    return names or []
