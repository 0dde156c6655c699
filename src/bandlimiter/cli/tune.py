"""``bandlimiter tune``: the largest radius, and the smallest K, that clean images allow."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bandlimiter.cli import options, tune_report
from bandlimiter.cli.error_handling import one_line_errors
from bandlimiter.cli.output import answer, own_stdout
from bandlimiter.errors import ConfigurationError

if TYPE_CHECKING:
    from bandlimiter.cli.setup import Defended

_PANEL = "Choice"


@one_line_errors
def tune(
    model: options.Model = "sample",
    weights: options.Weights = None,
    weights_key: options.WeightsKey = None,
    data: options.Data = None,
    split: options.Split = None,
    size: options.Size = None,
    limit: options.Limit = None,
    subset: options.Subset = None,
    most_loss: Annotated[
        float,
        typer.Option(
            help="The most accuracy to lose against the plain model: 0.01 is one point.",
            rich_help_panel=_PANEL,
        ),
    ] = 0.01,
    radii: Annotated[
        str | None,
        typer.Option(
            help="Radii to try, like 1,2,4, in the network's input space. Default: eight, up to "
            "2 2/3 times the paper's radius, or for other data as long as 1 to 16 of 255 in "
            "every number of the input.",
            rich_help_panel=_PANEL,
        ),
    ] = None,
    refinements: Annotated[
        int,
        typer.Option(
            help="How many radii bisection tries after these; each halves the gap.",
            rich_help_panel=_PANEL,
        ),
    ] = 4,
    find_directions: Annotated[
        bool,
        typer.Option(
            "--choose-directions",
            help="Then choose K: the smallest of 6, 15, 30 and 60 that answers like 60.",
            rich_help_panel=_PANEL,
        ),
    ] = False,
    most_differing: Annotated[
        float,
        typer.Option(
            help="The share of images that may have another label than with K = 60.",
            rich_help_panel=_PANEL,
        ),
    ] = 0.01,
    directions: options.Directions = 15,
    sampler: options.SamplerName = None,
    vote: options.VoteName = None,
    randomness: options.Randomness = None,
    scale: options.Scale = None,
    stop: options.Stop = "auto",
    accelerate: options.Accelerate = False,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    out: Annotated[
        Path | None,
        typer.Option(
            help="The run's folder: answers (run.sqlite), tune.json and the picture (PNG, SVG). "
            "Killed, the same command goes on.",
            rich_help_panel="Run",
        ),
    ] = None,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Choose the radius (and K) by what averaging costs on clean images. No attack is made.

    The answer is the largest radius whose loss of accuracy against the plain model is at most
    --most-loss, for it and every smaller radius tried, with the curve and how sure it is. To
    tell a loss of 0.01 at all takes 381 images, and mostly more.

    A larger radius is [bold]not[/bold] more robustness against attackers who know the defence:
    they break it at any of these radii. [bold]bandlimiter evaluate[/bold] shows what a radius
    withstands.

    For instance:

      bandlimiter tune --limit 100 --directions 6

      bandlimiter tune --model cifar-resnet56 --weights FILE --data cifar10:DIR --limit 1000
      --choose-directions --out tuned

      bandlimiter tune --model my_module:build --scale 0.25 --data npz:images.npz --radii 1,2,4,8
    """
    tried = None if radii is None else parse_radii(radii)
    if out is not None:
        from bandlimiter.draw.plotting import new_figure

        new_figure(1, 1, 1)  # where matplotlib is missing, say so before the work
    with own_stdout():
        from bandlimiter.attacks import AttackedModel
        from bandlimiter.cli.images import ModelImages
        from bandlimiter.cli.progress import rows_progress
        from bandlimiter.cli.setup import (
            PROBE,
            build_defended,
            default_data,
            note_seen,
            sped_up,
        )
        from bandlimiter.defence import choose_directions, tune_radius
        from bandlimiter.defence.tuning.directions import CANDIDATES
        from bandlimiter.defence.tuning.radius import default_radii
        from bandlimiter.evaluation import resolve_stop
        from bandlimiter.evaluation.tuning import KeptAnswers, tuning_plan
        from bandlimiter.results.runs import RunStore
        from bandlimiter.results.tuned_rows import TunedRow
        from bandlimiter.tensors import require_images

        defended = build_defended(
            model,
            weights,
            weights_key=weights_key,
            radius=1.0,  # of the draw; each radius tried scales it
            directions=directions,
            sampler=sampler,
            vote=vote,
            randomness=randomness,
            scale=scale,
            seed=seed,
            device=device,
        )
        data = data or default_data(defended.classifier)
        shown = ModelImages(defended.classifier, size)
        images = shown.load(data, limit, subset, seed, split)
        note_seen(defended.classifier, images)
        first = require_images(images.images(0, 1))
        AttackedModel(defended.classifier.module).count_classes(first.to(defended.device))
        early = resolve_stop(defended.defence, stop, 1e-3)
        if accelerate:
            defended = sped_up(defended, images.images(0, min(len(images), PROBE)))
        grid = tried or _usual(defended) or default_radii(defended.defence, first.shape[1:])
        about = {"data": data, "split": split, "size": shown.size, "limit": limit, "subset": subset}
        about |= {"stop": early, "seed": seed}
        choice = {"most_loss": most_loss, "radii": grid, "refinements": refinements}
        if find_directions:
            choice |= {"most_differing": most_differing}
        most = len(grid) + refinements + (len(CANDIDATES) if find_directions else 0)
        with RunStore(
            out,
            tune_report.identity(defended, images, {**choice, "stop": early}),
            tuning_plan(most, len(images)),
            settings={**defended.settings, **about, **choice},
            rows=TunedRow,
        ) as store:
            remember = KeptAnswers(store, images)
            common: dict[str, Any] = {
                "stop": early,
                "keys": images.ids.tolist(),
                "remember": remember,
            }
            with rows_progress("images") as progress:
                radius = tune_radius(
                    defended.defence,
                    images.images,
                    images.labels,
                    most_loss=most_loss,
                    radii=grid,
                    refinements=refinements,
                    progress=progress,
                    **common,
                )
            counts = None
            if find_directions:
                with rows_progress("images") as progress:
                    counts = choose_directions(
                        defended.defence.variant(radius=radius.radius),
                        images.images,
                        images.labels,
                        most_differing=most_differing,
                        progress=progress,
                        **common,
                    )
            remember.finish()
            document = tune_report.describe(defended, radius, counts, about)
            if out is not None:
                document["files"] = [str(out / "tune.json"), *tune_report.draw(out, document)]
            store.write_document("tune.json", document)
    answer(document, as_json, tune_report.show)


def parse_radii(text: str) -> list[float]:
    """Read ``1,2,4``.

    Raises
    ------
    ConfigurationError
        (a ValueError) for anything else.

    Examples
    --------
    >>> parse_radii("1,2.5")
    [1.0, 2.5]
    """
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ConfigurationError(
            f"expected --radii as numbers with commas, like 1,2,4; got {text!r}"
        ) from None


def _usual(defended: "Defended") -> list[float] | None:
    """Return multiples of the paper's radius, or None where the paper has none for this data."""
    from bandlimiter.defence.tuning.radius import GRID

    paper = defended.classifier.paper_radius
    return None if paper is None else [paper * step / 6 for step in GRID]
