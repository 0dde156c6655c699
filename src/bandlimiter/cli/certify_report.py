"""What ``bandlimiter certify`` says: how far its radii reach, the curve, and the table."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bandlimiter.cli.setup import Defended
    from bandlimiter.data import ImageSet
    from bandlimiter.results.certified_rows import CertifiedRow


def reach(defended: "Defended", images: "ImageSet", settings: dict[str, Any]) -> dict[str, float]:
    """Return the largest radius that so many samples can certify, and what epsilon would need."""
    import torch

    from bandlimiter.defence.certificates import certified_radius

    # No valid bound exceeds alpha^(1/T) when all T samples agree: a coin of that probability
    # shows nothing but heads with probability alpha.
    margin = 2 * settings["alpha"] ** (1 / settings["samples"]) - 1
    dim = settings["coordinates"]
    best = float(certified_radius(settings["sampler"], margin, settings["radius"], dim))
    scale = torch.as_tensor(defended.defence.scale).cpu().double()
    lengths = settings["epsilon"] / scale.expand(images.images(0, 1).shape)
    return {
        "best": best,
        "best_pixels": best * float(scale.min()),
        "needed": float(torch.linalg.vector_norm(lengths)),
        "needed_pixels": settings["epsilon"] * math.sqrt(dim),
    }


def draw(out: Path, rows: "list[CertifiedRow]", document: dict[str, Any]) -> None:
    """Write the curve, certified.png and .svg."""
    from bandlimiter.draw.canvas import save_figure
    from bandlimiter.draw.certified import draw_certified

    settings, reached = document["settings"], document["reach"]
    figure = draw_certified(
        {settings["sampler"]: [row.right_radius for row in rows]},
        pixels=reached["best_pixels"] / reached["best"],
        needed=(f"{255 * settings['epsilon']:.3g}/255", reached["needed"]),
        title=f"{settings['model']}, r = {settings['radius']:g}, {settings['samples']:,} samples, "
        f"alpha = {settings['alpha']:g}, {len(rows)} images",
    )
    save_figure(figure, out / "certified")


def show(document: dict[str, Any]) -> None:
    """Print what was found, and how far it reaches."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    settings, console = document["settings"], Console()
    console.print(
        f"{document['images']} images; {settings['sampler']}, r = {settings['radius']:.4g} in the "
        f"network's input space; {document['mean_samples']:.0f} evaluations an image",
        f"accuracy: plain {_rate(document, 'plain_accuracy')}, certified classifier "
        f"{_rate(document, 'accuracy')}; abstains {_rate(document, 'abstained')}",
        f"median certified radius: {_median(document)}",
        sep="\n",
        highlight=False,
    )
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("L2 radius", "in pixels", "certified accuracy (95 % interval)"):
        table.add_column(heading, justify="right")
    for point in document["curve"]:
        table.add_row(
            f"{point['radius']:g}",
            f"{point['radius_pixels']:.3g}",
            _rate(point, "certified_accuracy"),
        )
    console.print(table)
    console.print(document["verdict"], highlight=False, markup=False)


def _median(document: dict[str, Any]) -> str:
    if document["median_radius"] is None:
        return "none, as no image is certified"
    return f"{document['median_radius']:.4f}, in pixels {document['median_radius_pixels']:.4f}"


def _rate(holder: dict[str, Any], key: str) -> str:
    low, high = holder[f"{key}_interval"]
    return f"{holder[key]:.3f} ({low:.2f}-{high:.2f})"
