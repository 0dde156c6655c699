"""``bandlimiter predict``: labels of image files, plain and defended."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bandlimiter.cli import options
from bandlimiter.cli.error_handling import one_line_errors
from bandlimiter.cli.output import answer, own_stdout

if TYPE_CHECKING:
    import torch

    from bandlimiter.models import Classifier


@one_line_errors
def predict(
    images: Annotated[list[Path], typer.Argument(help="Image files.", metavar="IMAGE...")],
    model: options.Model = "sample",
    weights: options.Weights = None,
    weights_key: options.WeightsKey = None,
    size: options.Size = None,
    radius: options.Radius = None,
    sigma: options.Sigma = None,
    directions: options.Directions = 15,
    sampler: options.SamplerName = None,
    vote: options.VoteName = None,
    randomness: options.Randomness = None,
    scale: options.Scale = None,
    stop: options.Stop = "never",
    alpha: options.Alpha = None,
    accelerate: options.Accelerate = False,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Classify image files with the plain and the defended model.

    Images are cut to a centred square and scaled to --size, or to the model's input size;
    for a MODULE:FACTORY that states none they are used as they are. Gray images are converted to
    RGB, and colour to gray for a model of one channel. Where --stop lets an answer come early,
    its score is the average up to then.
    """
    import torch

    from bandlimiter.attacks import AttackedModel
    from bandlimiter.cli.images import ModelImages
    from bandlimiter.cli.setup import PROBE, build_defended, resolve_alpha, sped_up
    from bandlimiter.evaluation import resolve_stop

    with own_stdout():
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
        classifier = defended.classifier
        level = resolve_alpha(stop, alpha)
        early = resolve_stop(defended.defence, stop, level)
        shown = ModelImages(classifier, size)
        pixels = [shown.read(path) for path in images]
        if accelerate:
            alike = [image for image in pixels if image.shape == pixels[0].shape]
            defended = sped_up(defended, torch.stack(alike[:PROBE]))
        answers = []
        for path, image in zip(images, pixels, strict=True):
            x = image[None].to(defended.device)
            target = AttackedModel(classifier.module)
            target.count_classes(x)
            plain = target.logits(x).softmax(dim=1)
            averaged = defended.defence.predict(x, stop=early, alpha=level, keys=[str(path)])
            answers.append(
                {
                    "image": str(path),
                    "plain": _answer(plain.argmax(dim=1), plain, classifier),
                    "defended": {
                        **_answer(averaged.labels, averaged.probabilities, classifier),
                        "evaluations": int(averaged.samples),
                    },
                }
            )
    settings = {**defended.settings, **defended.defence.settings, "stop": early, "size": shown.size}
    answer({"settings": settings, "predictions": answers}, as_json, _show)


def _answer(
    labels: "torch.Tensor", scores: "torch.Tensor", classifier: "Classifier"
) -> dict[str, Any]:
    label = int(labels[0])
    name = classifier.class_names[label] if classifier.class_names else str(label)
    return {"label": label, "name": name, "score": float(scores[0, label])}


def _show(document: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from bandlimiter.results.files import printable

    table = Table()
    for heading in ("image", "plain", "score", "defended", "score", "evaluations"):
        words = heading in ("image", "plain", "defended")
        table.add_column(heading, justify="left" if words else "right")
    for each in document["predictions"]:
        plain, averaged = each["plain"], each["defended"]
        table.add_row(
            escape(printable(each["image"])),
            plain["name"],
            f"{plain['score']:.3f}",
            averaged["name"],
            f"{averaged['score']:.3f}",
            str(averaged["evaluations"]),
        )
    Console().print(table)
