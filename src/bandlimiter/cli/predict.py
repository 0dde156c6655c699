"""``bandlimiter predict``: labels of image files, plain and defended."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from bandlimiter.cli import options
from bandlimiter.cli.guard import guarded


@guarded
def predict(
    images: Annotated[list[Path], typer.Argument(help="Image files.", metavar="IMAGE...")],
    model: options.Model = "sample",
    weights: options.Weights = None,
    radius: options.Radius = None,
    directions: options.Directions = 15,
    sampler: options.SamplerName = "directions",
    vote: options.VoteName = "softmax",
    randomness: options.Randomness = "fixed",
    scale: options.Scale = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Classify image files with the plain and the defended model.

    Images are cut to a centred square and scaled to the model's input size.
    """
    import torch

    from bandlimiter.cli.setup import build_defended
    from bandlimiter.data.files import read_image
    from bandlimiter.tensors import logits_of

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
    classifier = defended.classifier
    answers = []
    for path in images:
        x = read_image(path, classifier.input_size)[None].to(defended.device)
        with torch.no_grad():
            plain = logits_of(classifier.module(x)).softmax(dim=1)[0]
        averaged = defended.defence.predict(x).probabilities[0]
        answers.append(
            {
                "image": str(path),
                "plain": _answer(plain.tolist(), classifier.class_names),
                "defended": _answer(averaged.tolist(), classifier.class_names),
            }
        )
    if as_json:
        json.dump({"settings": defended.settings, "predictions": answers}, sys.stdout, indent=2)
        print()
    else:
        _show(answers)


def _answer(scores: list[float], names: tuple[str, ...] | None) -> dict[str, Any]:
    label = max(range(len(scores)), key=scores.__getitem__)
    name = names[label] if names else str(label)
    return {"label": label, "name": name, "score": scores[label]}


def _show(answers: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for heading in ("image", "plain", "score", "defended", "score"):
        table.add_column(heading, justify="right" if heading == "score" else "left")
    for answer in answers:
        plain, averaged = answer["plain"], answer["defended"]
        table.add_row(
            answer["image"],
            plain["name"],
            f"{plain['score']:.3f}",
            averaged["name"],
            f"{averaged['score']:.3f}",
        )
    Console().print(table)
