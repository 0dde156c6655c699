"""What ``bandlimiter tune`` says: the document, the tables, and how sure the choice is."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

    from bandlimiter.cli.setup import Defended
    from bandlimiter.data import ImageSet
    from bandlimiter.defence import DirectionsChoice, RadiusChoice
    from bandlimiter.defence.tuning import DirectionsPoint, RadiusPoint


def identity(defended: "Defended", images: "ImageSet", choice: dict[str, Any]) -> dict[str, Any]:
    """Return what the answers depend on, and which settings are tried."""
    import torch

    from bandlimiter.evaluation.fingerprints import of_code, of_images, of_place
    from bandlimiter.evaluation.values import hash_of

    defence = {**defended.defence.settings}
    del defence["radius"], defence["radius_pixels"]  # what is looked for
    return {
        "kind": "tune",
        "threads": torch.get_num_threads(),
        "defence": defence,
        "choice": choice,
        "model": hash_of(defended.classifier.module),
        "accelerated": defended.settings["acceleration"] is not None,
        "images": of_images(images),
        **of_place(defended.defence.model),
        **of_code(),
    }


def describe(
    defended: "Defended",
    radius: "RadiusChoice",
    counts: "DirectionsChoice | None",
    about: dict[str, Any],
) -> dict[str, Any]:
    """Return the document of both choices."""
    from bandlimiter.defence.tuning.caveats import CAUTION

    settings = {**defended.settings, **defended.defence.settings, **about}
    del settings["radius"], settings["radius_pixels"]  # what is looked for
    document: dict[str, Any] = {
        "settings": settings,
        "images": radius.images,
        "plain_accuracy": radius.plain_accuracy.value,
        "plain_accuracy_interval": radius.plain_accuracy.interval,
        "most_loss": radius.most_loss,
        "radius": radius.radius,
        "radius_pixels": radius.radius_pixels,
        "sure_radius": radius.sure_radius,
        "loss": radius.chosen.loss.value,
        "loss_interval": radius.chosen.loss.interval,
        "curve": [_radius_entry(point) for point in radius.curve],
        "directions": None if counts is None else _directions_document(counts),
        "warnings": [*radius.caveats, *_of_directions(radius, counts)],
        "caution": CAUTION,
    }
    document["verdict"] = _verdict(document)
    return document


def draw(out: Path, document: dict[str, Any]) -> list[str]:
    """Write tune.png and tune.svg."""
    from bandlimiter.draw.plotting import save_figure
    from bandlimiter.draw.tuning import draw_tuning

    return [str(path) for path in save_figure(draw_tuning(document), out / "tune")]


def show(document: dict[str, Any]) -> None:
    """Print the curve, the choice, and what is not shown by it."""
    from rich.console import Console

    console = Console()
    console.print(_radius_table(document))
    if document["directions"] is not None:
        console.print(_directions_table(document["directions"]))
    console.print(document["verdict"], highlight=False, markup=False)
    for warning in document["warnings"]:
        console.print(f"warning: {warning}", highlight=False, markup=False)
    console.print(document["caution"], highlight=False, markup=False)
    if "files" in document:
        console.print("wrote " + ", ".join(document["files"]), highlight=False, markup=False)


def _compared(point: "RadiusPoint | DirectionsPoint") -> dict[str, Any]:
    return {
        "accuracy": point.accuracy.value,
        "accuracy_interval": point.accuracy.interval,
        "lost": point.lost,
        "gained": point.gained,
        "loss": point.loss.value,
        "loss_interval": point.loss.interval,
        "evaluations": point.evaluations,
    }


def _radius_entry(point: "RadiusPoint") -> dict[str, Any]:
    where = {"radius": point.radius, "radius_pixels": point.radius_pixels}
    return {**where, "refined": point.refined, **_compared(point)}


def _directions_document(counts: "DirectionsChoice") -> dict[str, Any]:
    return {
        "chosen": counts.directions,
        "most_differing": counts.most_differing,
        "points": [
            {
                "directions": point.directions,
                "cost": point.cost,
                "differing": point.differing,
                "differing_share": point.differing_share.value,
                "differing_share_interval": point.differing_share.interval,
                **_compared(point),
            }
            for point in counts.points
        ],
    }


def _of_directions(radius: "RadiusChoice", counts: "DirectionsChoice | None") -> list[str]:
    """Return the caveats about K, and whether the radius still keeps its bound with it."""
    if counts is None:
        return []
    caveats, loss = list(counts.caveats), counts.chosen.loss.value or 0.0
    if loss > radius.most_loss:
        caveats.append(
            f"With K = {counts.directions} the loss at r = {radius.radius:.4g} is {loss:.3f}, more "
            f"than {radius.most_loss:g}: tune again with --directions {counts.directions}."
        )
    return caveats


def _verdict(document: dict[str, Any]) -> str:
    low, high = document["loss_interval"]
    bound, images = document["most_loss"], document["images"]
    if document["radius"] == 0:
        return (
            f"No radius above 0 loses at most {bound:g} of the accuracy on these {images} images."
        )
    said = (
        f"r = {document['radius']:.4g} in the network's input space "
        f"({document['radius_pixels']:.3g} in pixels) is the largest radius that loses at most "
        f"{bound:g} of the plain model's accuracy {document['plain_accuracy']:.3f}: it loses "
        f"{document['loss']:.3f} ({low:+.3f} to {high:+.3f}, 95 % on {images} images, as if this "
        f"radius had been fixed beforehand). {_sure(document)}"
    )
    chosen = document["directions"]
    if chosen is None or chosen["chosen"] == chosen["points"][-1]["directions"]:
        return said
    return (
        f"{said} K = {chosen['chosen']} answers like K = {chosen['points'][-1]['directions']} on "
        f"all but {chosen['most_differing']:g} of the images."
    )


def _sure(document: dict[str, Any]) -> str:
    if document["sure_radius"] == 0:
        return "For no radius is it shown that the true loss is within that bound."
    return (
        f"That the true loss is within that bound is shown up to r = {document['sure_radius']:.4g} "
        "(with an error of 2.5 %)."
    )


def _radius_table(document: dict[str, Any]) -> "Table":
    table = _table("r", "in pixels", "accuracy", "loss (95 % interval)", "evaluations")
    for point in document["curve"]:
        chosen = point["radius"] == document["radius"]
        table.add_row(
            f"{point['radius']:.4g}" + (" *" if chosen else "  "),
            f"{point['radius_pixels']:.3g}",
            f"{point['accuracy']:.3f}",
            _loss(point),
            f"{point['evaluations']:.1f}",
            style="bold" if chosen else "",
        )
    return table


def _directions_table(document: dict[str, Any]) -> "Table":
    table = _table("K", "other labels", "accuracy", "loss (95 % interval)", "evaluations")
    for point in document["points"]:
        chosen = point["directions"] == document["chosen"]
        low, high = point["differing_share_interval"]
        largest = point is document["points"][-1]
        table.add_row(
            f"{point['directions']}" + (" *" if chosen else "  "),
            "" if largest else f"{point['differing_share']:.3f} ({low:.3f}-{high:.3f})",
            f"{point['accuracy']:.3f}",
            _loss(point),
            f"{point['evaluations']:.1f} of {point['cost']}",
            style="bold" if chosen else "",
        )
    return table


def _table(*headings: str) -> "Table":
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        table.add_column(heading, justify="right")
    return table


def _loss(point: dict[str, Any]) -> str:
    low, high = point["loss_interval"]
    return f"{point['loss']:+.3f} ({low:+.3f} {high:+.3f})"
