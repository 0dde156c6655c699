"""``bandlimiter certify``: how many images have a label that provably holds within a radius."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bandlimiter.cli import certify_report, options
from bandlimiter.cli.files import write_json
from bandlimiter.cli.guard import guarded
from bandlimiter.cli.output import answer, own_stdout
from bandlimiter.errors import ConfigurationError

if TYPE_CHECKING:
    from bandlimiter.cli.setup import Defended
    from bandlimiter.data import ImageSet
    from bandlimiter.results.certified_rows import CertifiedRow


@guarded
def certify(
    model: options.Model = "sample",
    weights: options.Weights = None,
    weights_key: options.WeightsKey = None,
    data: options.Data = None,
    size: options.Size = None,
    limit: options.Limit = None,
    subset: options.Subset = None,
    radius: options.Radius = None,
    sampler: Annotated[
        str,
        typer.Option(
            "--sampler",
            help="ball or gaussian: laws of which certificates exist.",
            rich_help_panel="Defence",
        ),
    ] = "ball",
    vote: Annotated[
        str,
        typer.Option(
            "--vote",
            help="softmax (mean probabilities) or majority (one vote a sample).",
            rich_help_panel="Defence",
        ),
    ] = "softmax",
    scale: options.Scale = None,
    samples: Annotated[
        int,
        typer.Option(help="Evaluations from which a margin is estimated.", rich_help_panel="Proof"),
    ] = 1000,
    selection: Annotated[
        int,
        typer.Option(help="Others, on which the label is chosen.", rich_help_panel="Proof"),
    ] = 100,
    alpha: Annotated[
        float,
        typer.Option(
            help="For each image: the most probable that its label and radius are untrue.",
            rich_help_panel="Proof",
        ),
    ] = 1e-3,
    epsilon: Annotated[
        str,
        typer.Option(
            help="L-inf budget in pixels to compare the radii with.", rich_help_panel="Proof"
        ),
    ] = "8/255",
    seed: options.Seed = 0,
    device: options.Device = "auto",
    out: Annotated[
        Path | None,
        typer.Option(
            help="A new folder for rows (JSON lines, as they come), certified.json and the curve "
            "(PNG and SVG). Rows of an unfinished run are renamed to rows.jsonl.1, ...",
            rich_help_panel="Run",
        ),
    ] = None,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Certify labels of the average over [bold]all[/bold] offsets of a ball or a Gaussian.

    The certified classifier is that average, not the 6K + 1 points of the paper, for which no
    certificate exists. It answers with a label and an L2 radius within which the label cannot
    change, or abstains.

    For instance:

      bandlimiter certify --limit 20

      bandlimiter certify --model cifar-resnet20 --weights FILE --data cifar10:DIR --limit 200
      --out certified
    """
    from bandlimiter.cli.images import ModelImages
    from bandlimiter.cli.setup import build_defended, default_data
    from bandlimiter.results.certified import summarise_certified
    from bandlimiter.results.certified_rows import CERTIFIED, CertifiedRows

    with own_stdout():
        budget = options.parse_epsilon(epsilon)
        if not 0 < budget <= 1:
            raise ConfigurationError(f"expected epsilon in (0, 1], in pixels; got {epsilon}")
        if out is not None:
            from bandlimiter.draw.canvas import new_figure

            new_figure(1, 1, 1)  # where matplotlib is missing, say so before the work
        defended = build_defended(
            model,
            weights,
            weights_key=weights_key,
            radius=radius,
            sampler=sampler,
            vote=vote,
            randomness="fresh",
            scale=scale,
            seed=seed,
            device=device,
        )
        data = data or default_data(defended.classifier)
        shown = ModelImages(defended.classifier, size)
        images = shown.load(data, limit, subset, seed)
        settings = {
            **defended.settings,
            "data": data,
            "size": shown.size,
            "limit": limit,
            "subset": subset,
            "radius": defended.defence.radius,
            "sampler": sampler,
            "vote": vote,
            "defence_seed": seed,
            "samples": samples,
            "selection": selection,
            "alpha": alpha,
            "epsilon": budget,
            "coordinates": images.images(0, 1).numel(),
        }
        started = time.perf_counter()
        with CertifiedRows(out) as kept:
            for rows in _certified(defended, images, samples, selection, alpha):
                kept.add(rows)
        settings["seconds_an_image"] = (time.perf_counter() - started) / len(images)
        document = summarise_certified(
            kept.rows, settings, certify_report.reach(defended, images, settings)
        )
        if out is not None:
            certify_report.draw(out, kept.rows, document)
            write_json(out / CERTIFIED, document)  # last: it says that all is there
    answer(document, as_json, certify_report.show)


def _certified(
    defended: "Defended", images: "ImageSet", samples: int, selection: int, alpha: float
) -> Iterator[list["CertifiedRow"]]:
    """Yield the rows of as many images at once as fill a pass."""
    import torch

    from bandlimiter.attacks import Target
    from bandlimiter.cli.progress import rows_progress
    from bandlimiter.defence.certificates import certify as certify_images
    from bandlimiter.defence.certificates.margins import BLOCK
    from bandlimiter.results.certified_rows import CertifiedRow
    from bandlimiter.tensors import ChunkLimit, model_logits, require_images, require_labels

    plain = defended.classifier.module
    first = images.images(0, 1).to(defended.device)
    size = max(1, ChunkLimit("auto").resolve(first) // BLOCK)
    with torch.no_grad(), rows_progress("images") as update:
        first = require_images(first)
        require_labels(images.labels, len(images), Target(plain).count_classes(first))
        for start in range(0, len(images), size):
            update(start, len(images), "certifying")
            part = slice(start, min(start + size, len(images)))
            x = require_images(images.images(part.start, part.stop).to(defended.device))
            ids = images.ids[part].tolist()
            found = certify_images(
                defended.defence, x, samples=samples, selection=selection, alpha=alpha, keys=ids
            )
            columns = (
                ids,
                images.labels[part].tolist(),
                model_logits(plain, x).argmax(dim=1).tolist(),
                *(column.tolist() for column in found),
            )
            yield [
                CertifiedRow(
                    image=image,
                    label=label,
                    plain=answer,
                    certified=None if certified < 0 else certified,
                    radius=length,
                    radius_pixels=pixels,
                    margin=margin,
                    samples=spent,
                )
                for image, label, answer, certified, length, pixels, margin, spent in zip(
                    *columns, strict=True
                )
            ]
