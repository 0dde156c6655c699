"""``bandlimiter harden``: train a classifier under noise for some minutes, into a folder."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bandlimiter.cli import options
from bandlimiter.cli.error_handling import one_line_errors
from bandlimiter.cli.output import answer, own_stdout

if TYPE_CHECKING:
    from bandlimiter.data import ImageSet
    from bandlimiter.models import Classifier

Sigma = Annotated[
    float,
    typer.Option(
        help="Standard deviation of each pixel under the noise, in pixels of [0, 1], before the "
        "normaliser. Certificates reach to some 3.7 times it, and clean accuracy falls with it.",
        rich_help_panel="Noise",
    ),
]
TrainingData = Annotated[
    str,
    typer.Option(
        help="Training images: cifar10:PATH, imagefolder:PATH (one folder per class), npz:FILE "
        "(keys x, y).",
        rich_help_panel="Model and data",
    ),
]
Out = Annotated[
    Path,
    typer.Option(
        help="A folder, new or empty, that --model takes afterwards: model.safetensors, card.json.",
        rich_help_panel="Run",
    ),
]


@one_line_errors
def harden(
    data: TrainingData,
    out: Out,
    model: options.Model = "sample",
    weights: options.Weights = None,
    weights_key: options.WeightsKey = None,
    split: options.Split = None,
    size: options.Size = None,
    limit: options.Limit = None,
    subset: options.Subset = None,
    sigma: Sigma = 0.25,
    recipe: Annotated[
        str,
        typer.Option(
            help="consistency (two noisy copies of each image, which should agree) or gaussian "
            "(one, half the time per step).",
            rich_help_panel="Training",
        ),
    ] = "consistency",
    minutes: Annotated[
        float | None,
        typer.Option(
            help="How long it may take in all: a few steps are timed first. Default: 10.",
            rich_help_panel="Training",
        ),
    ] = None,
    epochs: Annotated[
        float | None,
        typer.Option(
            help="Instead of --minutes: passes over the images.", rich_help_panel="Training"
        ),
    ] = None,
    part: Annotated[
        str,
        typer.Option(
            help="What is trained: all, norm (normalisation layers), head (the last layer).",
            rich_help_panel="Training",
        ),
    ] = "all",
    augment: Annotated[
        str,
        typer.Option(
            help="crop-flip, flip (better in few minutes), crop (where a mirror image means "
            "something else, such as digits), none, or auto: crop-flip for images of 1 or 3 "
            "channels.",
            rich_help_panel="Training",
        ),
    ] = "auto",
    rate: Annotated[
        float, typer.Option(help="Peak of the learning rate.", rich_help_panel="Training")
    ] = 0.05,
    batch: Annotated[
        int, typer.Option(help="Images per step, at most.", rich_help_panel="Training")
    ] = 128,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Train a classifier under noise, so that its Gaussian average provably keeps labels.

    Begins with the weights that the model has. A part of the images is held out and chooses the
    epoch; keep test images out of --data. Killed at any moment, the same command goes on from the
    last state. Afterwards the folder is a model, and its card says what was done:

      bandlimiter harden --model sample --data cifar10:DIR --sigma 0.25 --minutes 10 --out hardened

      bandlimiter certify --model hardened --data cifar10:DIR --at 0.25,0.5

      bandlimiter evaluate --model hardened --data cifar10:DIR --limit 100 --threat adaptive
    """
    from bandlimiter.cli.progress import rows_progress
    from bandlimiter.hardening import harden as run

    with own_stdout():
        classifier, images = _loaded(
            (model, weights, weights_key), device, data, size, limit, subset, seed, split
        )
        with rows_progress("steps") as progress:
            hardened = run(
                classifier,
                images,
                sigma=sigma,
                recipe=recipe,
                minutes=minutes,
                epochs=epochs,
                part=part,
                augment=augment,
                rate=rate,
                batch=batch,
                seed=seed,
                out=out,
                progress=progress,
            )
    document = {
        "folder": str(out),
        "card": hardened.card.model_dump(),
        "history": hardened.history,
    }
    answer(document, as_json, _show)


@one_line_errors
def recalibrate(
    data: TrainingData,
    out: Out,
    model: options.Model = "sample",
    weights: options.Weights = None,
    weights_key: options.WeightsKey = None,
    split: options.Split = None,
    size: options.Size = None,
    limit: options.Limit = None,
    subset: options.Subset = None,
    sigma: Sigma = 0.25,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Recompute a classifier's BatchNorm statistics under noise: seconds, no labels, no training.

    What a trained network loses under noise it loses in large part there. Networks without
    BatchNorm have nothing to recompute, and no weight learns anything: harden does more.

      bandlimiter recalibrate --model sample --data cifar10:DIR --sigma 0.12 --out recalibrated

      bandlimiter certify --model recalibrated --at 0.12,0.25
    """
    from bandlimiter.hardening import recalibrate_into

    with own_stdout():
        classifier, images = _loaded(
            (model, weights, weights_key), device, data, size, limit, subset, seed, split
        )
        made = recalibrate_into(out, classifier, images, sigma, seed=seed)
    document = {"folder": str(out), "card": made.card.model_dump(), "history": made.history}
    answer(document, as_json, _show)


def _loaded(
    model: tuple[str, Path | None, str | None],
    device: str,
    data: str,
    size: int | None,
    limit: int | None,
    subset: int | None,
    seed: int,
    split: str | None,
) -> "tuple[Classifier, ImageSet]":
    """Return the classifier on its device, and training images in the size that it takes."""
    from bandlimiter.cli.images import ModelImages
    from bandlimiter.data.sources import SPLIT
    from bandlimiter.models import load_model
    from bandlimiter.tensors import resolve_device

    name, weights, key = model
    place = resolve_device(device)
    classifier = load_model(name, weights, weights_key=key)
    classifier.module.to(place)
    if split is None and data.partition(":")[0] in SPLIT:
        split = "train"
    return classifier, ModelImages(classifier, size).load(data, limit, subset, seed, split)


def _show(document: dict[str, Any]) -> None:
    """Print what was gained, and what to do next."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    console, card, rows = Console(), document["card"], document["history"]
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("epoch", "minutes", "loss", "clean", "noisy", "all copies"):
        table.add_column(heading, justify="right")
    for row in rows:
        loss = "" if row["loss"] is None else f"{row['loss']:.3f}"
        cells = (f"{row['epoch']:.0f}", f"{row['seconds'] / 60:.1f}", loss)
        table.add_row(*cells, *(f"{row[name]:.3f}" for name in ("clean", "noisy", "steady")))
    console.print(table)
    held_out, folder = card["held_out"], document["folder"]
    if card["recipe"].get("chosen_epoch") == 0:
        console.print(
            "note: no epoch was better than the network before training, which is kept as it was "
            "but for BatchNorm statistics; try another --rate, more time, or another --augment"
        )
    console.print(
        f"{folder}: sigma {card['sigma']:g} in pixels, {card['minutes']:g} minutes; of "
        f"{held_out['images']} held-out training images {held_out['clean']:.3f} are right clean, "
        f"{held_out['noisy']:.3f} with noise, {held_out['steady']:.3f} in all noisy copies",
        f"next: bandlimiter certify --model {folder} --data TEST_IMAGES --at "
        f"{card['sigma']:g},{2 * card['sigma']:g}",
        sep="\n",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
