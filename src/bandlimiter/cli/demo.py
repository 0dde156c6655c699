"""``bandlimiter demo``: the main job on the packaged model and images."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from bandlimiter.cli import options
from bandlimiter.cli.error_handling import one_line_errors
from bandlimiter.cli.output import answer, show_result

if TYPE_CHECKING:
    from bandlimiter.data import ImageSet

_RADIUS, _SAMPLES = 0.25, 1000
"""What is proven of the hardened network, and with how many samples per image at most."""

_TOGETHER = 32


@one_line_errors
def demo(
    limit: Annotated[int, typer.Option(help="How many of the 500 images to take.")] = 50,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Post-average a packaged CIFAR-10 ResNet-20, attack it, print what it withstands.

    Four attacks on the plain model, as in the paper, then adaptive attacks; last, what
    the same network provably keeps after it was hardened under noise. No downloads; a few minutes
    on two cores. The attacks are quick versions, marked so wherever their numbers appear;
    [bold]bandlimiter evaluate[/bold] runs the full ones.
    """
    from bandlimiter.cli.progress import rows_progress
    from bandlimiter.cli.setup import build_defended
    from bandlimiter.data import load_data
    from bandlimiter.evaluation import default_attacks, evaluate

    defended = build_defended(seed=seed, device=device)
    images = load_data("sample", limit)
    with rows_progress() as progress:
        evaluation = evaluate(
            defended.classifier.module,
            defended.defence,
            images,
            default_attacks(targeted=False),
            quick=True,
            seed=seed,
            settings={**defended.settings, "data": "sample", "limit": limit},
            progress=progress,
        )
    document = {**evaluation.tables, "hardened": _proven(images, seed, device)}
    answer(document, as_json, _show)


def _proven(images: "ImageSet", seed: int, device: str) -> dict[str, Any]:
    """Return what the packaged hardened network's average is proven to keep."""
    from bandlimiter.cli.progress import rows_progress
    from bandlimiter.cli.setup import build_defended
    from bandlimiter.defence import certify
    from bandlimiter.results.statistics import rate, rate_entries

    defended = build_defended("sample-hardened", seed=seed, device=device, trained_sigma=True)
    certified = clean = 0
    with rows_progress("images") as update:
        for start in range(0, len(images), _TOGETHER):
            update(start, len(images), "certifying")
            x = images.images(start, start + _TOGETHER).to(defended.device)
            ids = images.ids[start : start + _TOGETHER].tolist()
            found = certify(defended.defence, x, at=[_RADIUS], samples=_SAMPLES, keys=ids)
            right = found.labels.cpu() == images.labels[start : start + _TOGETHER]
            clean += int(right.sum())
            certified += int((right & found.certified[:, 0].cpu()).sum())
    card = defended.classifier.card
    return {
        "model": defended.classifier.name,
        "sigma": defended.defence.sigma,
        "minutes": None if card is None else card.minutes,
        "at": _RADIUS,
        "samples": _SAMPLES,
        **rate_entries("certified_clean_accuracy", rate(clean, len(images))),
        **rate_entries("certified_accuracy", rate(certified, len(images))),
    }


def _show(document: dict[str, Any]) -> None:
    """Print the evaluation, and under it the remedy."""
    from rich.console import Console

    show_result(document)
    found, left = document["hardened"], document["worst_case"]["accuracy"]
    low, high = found["certified_accuracy_interval"]
    kept = "" if left is None else f"The paper's averaging keeps {left:.2f} under these attacks. "
    Console().print(
        f"{kept}The same network after {found['minutes']:.0f} minutes of training under noise "
        f"({found['model']}), averaged over Gaussian noise of sigma {found['sigma']:g}, is proven "
        f"to keep {found['certified_accuracy']:.2f} ({low:.2f}-{high:.2f}) whatever the attack, up "
        f"to an L2 length of {found['at']:g} in pixels; on clean images it is certainly right for "
        f"{found['certified_clean_accuracy']:.2f}.",
        highlight=False,
        markup=False,
    )
