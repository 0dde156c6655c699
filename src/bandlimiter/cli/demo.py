"""``bandlimiter demo``: the main job on the packaged model and images."""

from typing import Annotated

import typer

from bandlimiter.cli import options
from bandlimiter.cli.guard import guarded
from bandlimiter.cli.output import answer, show_result


@guarded
def demo(
    limit: Annotated[int, typer.Option(help="How many of the 500 images to take.")] = 50,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Post-average a packaged CIFAR-10 ResNet-20, attack it, print what it withstands.

    Four attacks on the plain model, as in the paper, then attacks that know the defence. No
    downloads; a few minutes on two cores. The attacks are quick versions, marked so
    wherever their numbers appear; [bold]bandlimiter evaluate[/bold] runs the full ones.
    """
    from bandlimiter.attacks import ATTACKS
    from bandlimiter.cli.progress import rows_progress
    from bandlimiter.cli.setup import build_defended
    from bandlimiter.data import load_data
    from bandlimiter.evaluation import evaluate

    defended = build_defended(seed=seed, device=device)
    with rows_progress() as progress:
        evaluation = evaluate(
            defended.classifier.module,
            defended.defence,
            load_data("sample", limit),
            list(ATTACKS),
            quick=True,
            seed=seed,
            settings={**defended.settings, "data": "sample", "limit": limit},
            progress=progress,
        )
    answer(evaluation.tables, as_json, show_result)
