"""``bandlimiter certify``: how many images have a label that provably holds within a radius."""

from pathlib import Path
from typing import Annotated

import typer

from bandlimiter.cli import certify_report, options
from bandlimiter.cli.error_handling import one_line_errors
from bandlimiter.cli.output import answer, own_stdout
from bandlimiter.defence.votes import bounded_votes, described_votes
from bandlimiter.errors import ConfigurationError

_SIGMA = 0.06
"""What a network that has not been trained under noise still answers under."""


@one_line_errors
def certify(
    model: options.Model = "sample",
    weights: options.Weights = None,
    weights_key: options.WeightsKey = None,
    data: options.Data = None,
    split: options.Split = None,
    size: options.Size = None,
    limit: options.Limit = None,
    subset: options.Subset = None,
    sigma: Annotated[
        float | None,
        typer.Option(
            help="Standard deviation of each pixel under noise, in pixels of [0, 1], before the "
            "normaliser. The literature trains networks under 0.12, 0.25 or 0.5; those that "
            "are not trained so tolerate less. Default: 0.06; for a hardened model, the one on its "
            "card.",
            rich_help_panel="Defence",
        ),
    ] = None,
    radius: Annotated[
        float | None,
        typer.Option(
            help="Instead of --sigma: the length of the noise in the network's input space, where "
            "--scale is one number for all channels.",
            rich_help_panel="Defence",
        ),
    ] = None,
    sampler: Annotated[
        str,
        typer.Option(
            "--sampler",
            help="gaussian or ball: laws of which certificates exist.",
            rich_help_panel="Defence",
        ),
    ] = "gaussian",
    vote: Annotated[
        str,
        typer.Option(
            "--vote",
            help=f"{described_votes(bounded_votes())}.",
            rich_help_panel="Defence",
        ),
    ] = "majority",
    scale: options.Scale = None,
    at: Annotated[
        str | None,
        typer.Option(
            help="Radii to decide, L2 in pixels, such as 0.25,0.5. Default: the largest that "
            "--samples can certify.",
            rich_help_panel="Proof",
        ),
    ] = None,
    until_width: Annotated[
        float | None,
        typer.Option(
            help="Without --at: stop once the radius is known to this width.",
            rich_help_panel="Proof",
        ),
    ] = None,
    samples: Annotated[
        int,
        typer.Option(help="The most evaluations that decide an image.", rich_help_panel="Proof"),
    ] = 100_000,
    selection: Annotated[
        int,
        typer.Option(help="Samples beside these that choose the label.", rich_help_panel="Proof"),
    ] = 100,
    alpha: Annotated[
        float,
        typer.Option(
            help="For each image: the probability that any of its claims is false is at most this.",
            rich_help_panel="Proof",
        ),
    ] = 1e-3,
    give_up: Annotated[
        float,
        typer.Option(
            help="Level at which a radius is given up; it costs certificates and promises nothing. "
            "0: never.",
            rich_help_panel="Proof",
        ),
    ] = 1e-2,
    exact: Annotated[
        bool,
        typer.Option(
            "--exact",
            help="Refuse images that are not on the lattice that noise is rounded to; 8-bit images "
            "are. Others are rounded to it first, and the way counts.",
            rich_help_panel="Proof",
        ),
    ] = False,
    epsilon: Annotated[
        str,
        typer.Option(
            help="L-inf budget in pixels to compare the radii with.", rich_help_panel="Proof"
        ),
    ] = "8/255",
    read: Annotated[
        list[Path] | None,
        typer.Option(
            help="Only show certification logs (TSV files in the form of Cohen et al., or folders "
            "of --out) side by side. Repeatable.",
            rich_help_panel="Others",
        ),
    ] = None,
    accelerate: options.Accelerate = False,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    out: Annotated[
        Path | None,
        typer.Option(
            help="The run's folder: rows (run.sqlite; certified.tsv as others' scripts read it), "
            "certified.json and the curve (PNG, SVG). Killed, the same command goes on.",
            rich_help_panel="Run",
        ),
    ] = None,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Certify labels of the average over [bold]all[/bold] noise of a given sigma.

    The certified classifier is that average, not the 6K + 1 points of the paper, for which no
    certificate exists. Each image is decided at each radius with as many samples as that takes.

    For instance:

      bandlimiter certify --limit 20 --sigma 0.06 --at 0.03,0.06,0.09

      bandlimiter certify --model FILE.py:build --data cifar10:DIR --sigma 0.25
      --at 0.25,0.5,0.75 --out certified

      bandlimiter certify --read certified --read cohen_0.25.tsv
    """
    from bandlimiter.cli.images import ModelImages
    from bandlimiter.cli.progress import rows_progress
    from bandlimiter.cli.setup import PROBE, build_defended, default_data, note_seen, sped_up
    from bandlimiter.evaluation.certification import CertificationWorker, certify_images
    from bandlimiter.results.certified import summarise_certified
    from bandlimiter.tensors import require_images

    if read:
        document, show = certify_report.compared(read, _radii(at), out)
        answer(document, as_json, show)
        return
    with own_stdout():
        budget, radii = options.parse_epsilon(epsilon), _radii(at)
        if not 0 < budget <= 1:
            raise ConfigurationError(f"expected epsilon in (0, 1], in pixels; got {epsilon}")
        if out is not None:
            certify_report.require_pictures()
        defended = build_defended(
            model,
            weights,
            weights_key=weights_key,
            sigma=sigma,
            radius=radius,
            sampler=sampler,
            vote=vote,
            randomness="fresh",
            scale=scale,
            seed=seed,
            device=device,
            trained_sigma=True,
            other_sigma=_SIGMA,
        )
        data = data or default_data(defended.classifier)
        shown = ModelImages(defended.classifier, size)
        images = shown.load(data, limit, subset, seed, split)
        note_seen(defended.classifier, images)
        if accelerate:
            some = images.images(0, min(PROBE, len(images))).to(defended.device)
            defended = sped_up(defended, require_images(some))
        proof = {
            "at": radii,
            "until_width": until_width,
            "samples": samples,
            "selection": selection,
            "alpha": alpha,
            "give_up": give_up,
            "exact": exact,
        }
        most, reached = certify_report.reach(defended, images, proof)
        settings = {
            **defended.settings,
            **certify_report.noise_settings(defended.defence),
            "data": data,
            "split": split,
            "size": shown.size,
            "limit": limit,
            "subset": subset,
            "defence_seed": seed,
            **proof,
            "epsilon": budget,
            "coordinates": images.images(0, 1).numel(),
        }
        if exact:
            certify_report.require_exact(defended, images)
        worker = CertificationWorker(
            defended.classifier.module, defended.defence, images, {**proof, "at": reached}
        )
        with rows_progress("images") as update:
            rows, document = certify_images(
                worker,
                out,
                certify_report.identity(defended, images, proof),
                settings,
                lambda rows: summarise_certified(rows, settings, most),
                progress=update,
            )
        if out is not None:
            certify_report.draw(out, rows, document)
    answer(document, as_json, certify_report.show)


def _radii(text: str | None) -> list[float] | None:
    """Read ``0.25,0.5``."""
    if text is None:
        return None
    try:
        return [options.parse_epsilon(part) for part in text.split(",")]
    except ConfigurationError:
        raise ConfigurationError(f"expected --at like 0.25,0.5, got {text!r}") from None
