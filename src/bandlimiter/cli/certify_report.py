"""What ``bandlimiter certify`` says: the curve and the table, of a run and of logs side by side."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bandlimiter.cli.setup import Defended
    from bandlimiter.data import ImageSet
    from bandlimiter.defence import PostAverage
    from bandlimiter.results.certified_rows import CertifiedRow


def reach(
    defended: "Defended", images: "ImageSet", proof: dict[str, Any]
) -> tuple[float, list[float] | None]:
    """Return the largest radius that the samples can certify, and which of those asked for can.

    Prints those that cannot.

    Raises
    ------
    ConfigurationError
        For settings that certify nothing.
    """
    from bandlimiter.cli.streams import print_error
    from bandlimiter.defence.certificates import reach as reach_of
    from bandlimiter.defence.certificates.requirements import require_plan

    defence = defended.defence
    plan = require_plan(defence.vote, **proof)
    most = reach_of(defence, images.images(0, 1)[0].numel(), plan.samples, plan.alpha)
    radii = plan.radii(most, defence.vote)
    beyond = [f"{radius:g}" for radius in radii if radius > most]
    if beyond:
        print_error(
            f"note: left blank: {', '.join(beyond)}, as {plan.samples:,} samples certify "
            f"{most:.4g} at the most"
        )
    return most, None if plan.at is None else [radius for radius in radii if radius <= most]


def require_exact(defended: "Defended", images: "ImageSet") -> None:
    """Refuse images off the lattice, before the first of them is certified.

    Raises
    ------
    InputError
        That names one.
    """
    from bandlimiter.defence.certificates.requirements import noise_of
    from bandlimiter.errors import InputError

    lattice = noise_of(defended.defence, images.images(0, 1)[0].numel()).lattice
    for start in range(0, len(images), 100):
        off = lattice.round(images.images(start, start + 100))[1].nonzero()
        if len(off):
            raise InputError(
                f"expected images on the lattice of 1/{lattice.steps} with --exact, image "
                f"{int(images.ids[start + int(off[0])])} is not; leave --exact out"
            )


def identity(defended: "Defended", images: "ImageSet", proof: dict[str, Any]) -> dict[str, Any]:
    """Return what rows depend on."""
    import torch

    from bandlimiter.evaluation.fingerprints import of_code, of_images, of_place
    from bandlimiter.evaluation.values import hash_of

    defence = defended.defence
    return {
        "kind": "certify",
        "threads": torch.get_num_threads(),
        **{key: defence.settings[key] for key in ("sigma", "radius", "sampler", "vote")},
        "seed": defence.seed,
        **proof,
        "model": hash_of(defended.classifier.module),
        "accelerated": defended.settings["acceleration"] is not None,
        "images": of_images(images),
        **of_place(defence.model),
        **of_code(),
    }


def noise_settings(defence: "PostAverage") -> dict[str, Any]:
    """Return what is certified; how many points `predict` takes plays no part."""
    return {
        key: value
        for key, value in defence.settings.items()
        if key not in ("directions", "evaluations")
    }


def require_pictures() -> None:
    """Where matplotlib is missing, say so before the work."""
    from bandlimiter.draw.plotting import new_figure

    new_figure(1, 1, 1)


def draw(out: Path, rows: "Sequence[CertifiedRow]", document: dict[str, Any]) -> None:
    """Write the curve, certified.png and .svg."""
    from bandlimiter.draw.certified import draw_certified
    from bandlimiter.draw.plotting import save_figure
    from bandlimiter.results.certified_logs import log_of

    settings = document["settings"]
    figure = draw_certified(
        {settings["sampler"]: log_of(rows, "").radius},
        needed=(
            f"{255 * settings['epsilon']:.3g}/255",
            settings["epsilon"] * settings["coordinates"] ** 0.5,
        ),
        title=f"{settings['model']}, {_noise(settings)}, up to {settings['samples']:,} samples, "
        f"alpha = {settings['alpha']:g}, {len(rows)} images",
    )
    save_figure(figure, out / "certified")


def compared(
    paths: Sequence[Path], at: Sequence[float] | None, out: Path | None
) -> tuple[dict[str, Any], Callable[[dict[str, Any]], object]]:
    """Return what logs say side by side, and how it is shown; draw it into ``out``."""
    from bandlimiter.cli.files import make_folder, write_json
    from bandlimiter.defence.certificates.requirements import require_radii
    from bandlimiter.results.certified import round_radii
    from bandlimiter.results.certified_logs import compare_logs, read_logs

    logs = read_logs(paths)
    most = max(float(log.radius.max()) for log in logs)
    asked = None if at is None else require_radii(at)
    radii = [0.0, *(asked or (round_radii(most)[1:] if most > 0 else ()))]
    document = compare_logs(logs, radii)
    if out is not None:
        from bandlimiter.draw.certified import draw_certified
        from bandlimiter.draw.plotting import save_figure

        make_folder(out)
        shared = set.intersection(*(set(log.idx.tolist()) for log in logs))
        curves = {
            log.name: log.radius[[each in shared for each in log.idx.tolist()]] for log in logs
        }
        figure = draw_certified(curves, title=f"{document['images']} images")
        save_figure(figure, out / "compared")
        write_json(out / "compared.json", document)
    return document, _show_compared


def show(document: dict[str, Any]) -> None:
    """Print what was found, and how far it reaches."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    settings, console = document["settings"], Console()
    spent, quartiles = document["samples"], document["shares"]
    copy = "" if settings["acceleration"] is None else "; certified is the accelerated copy"
    console.print(
        f"{document['images']} images; {settings['sampler']}, {_noise(settings)}, vote "
        f"{settings['vote']}{copy}",
        f"samples per image: mean {document['mean_samples']:,.0f}, median {spent['median']:,.0f}, "
        f"99 % need at most {spent['99 %']:,.0f}",
        f"accuracy: plain {_rate(document, 'plain_accuracy')}, certified classifier "
        f"{_rate(document, 'accuracy')}; abstains {_rate(document, 'abstained')}",
        "share of the samples for the label: quartiles "
        + ", ".join(f"{share:.3f}" for share in quartiles),
        f"median certified radius: {_median(document)}; mean with wrong ones as 0 (ACR, which "
        f"alone tells little): {document['mean_right_radius']:.4f}",
        sep="\n",
        highlight=False,
    )
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("L2 radius in pixels", "certified accuracy (95 % interval)"):
        table.add_column(heading, justify="right")
    for point in document["curve"]:
        known = point["certified_accuracy"] is not None
        table.add_row(f"{point['radius']:g}", _rate(point, "certified_accuracy") if known else "")
    console.print(table)
    console.print(document["verdict"], highlight=False, markup=False)


def _show_compared(document: dict[str, Any]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from bandlimiter.results.files import printable

    console = Console()
    others = "" if document["common"] else ", those that all logs have"
    console.print(
        f"Certified accuracy on {document['images']} images{others}; right with this L2 radius or "
        "more; 95 % intervals below.",
        highlight=False,
    )
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1))
    table.add_column("L2 radius")
    for log in document["logs"]:
        table.add_column(escape(printable(log["name"])), justify="right", overflow="fold")
    for place, radius in enumerate(document["radii"]):
        cells = []
        for log in document["logs"]:
            low, high = log["interval"][place]
            band = f"[dim]{low:.3f}-{high:.3f}[/dim]".replace("0.", ".")
            cells.append(f"{log['certified_accuracy'][place]:.4f}\n{band}")
        table.add_row(f"{radius:g}", *cells)
    for heading, key in (("abstains", "abstained"), ("ACR", "average_radius")):
        table.add_row(heading, *(f"{log[key]:.3f}" for log in document["logs"]))
    if any(log["shares"] for log in document["logs"]):  # as far as a log says
        quartiles = [log["shares"] or () for log in document["logs"]]
        shares = [" ".join(f"{share:.2f}" for share in each) for each in quartiles]
        table.add_row("p_A, about", *shares)
    table.add_row("images", *(str(log["images"]) for log in document["logs"]))
    console.print(table)


def _noise(settings: dict[str, Any]) -> str:
    if settings["sigma"] is not None:
        return f"sigma = {settings['sigma']:g} in pixels"
    return f"r = {settings['radius']:.4g}"


def _median(document: dict[str, Any]) -> str:
    if document["median_radius"] is None:
        return "none, as no image is certified"
    return f"{document['median_radius']:.4f}"


def _rate(holder: dict[str, Any], key: str) -> str:
    low, high = holder[f"{key}_interval"]
    return f"{holder[key]:.3f} ({low:.2f}-{high:.2f})"
