"""``bandlimiter regions``: the linear regions of a small network, counted and drawn."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bandlimiter.cli import options, regions_report, small_network
from bandlimiter.cli.error_handling import one_line_errors
from bandlimiter.cli.files import make_folder, write_json
from bandlimiter.cli.output import answer, own_stdout
from bandlimiter.errors import ConfigurationError, InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bandlimiter.cli.small_network import Subject

    Step = tuple[NDArray[np.float64], NDArray[np.float64]]


@one_line_errors
def regions(
    network: small_network.Network = None,
    weights_key: small_network.WeightsKey = None,
    data: small_network.Data = None,
    points: small_network.Points = 400,
    widths: small_network.Widths = "16,16,16",
    activation: small_network.Activation = "relu",
    bias: small_network.Bias = True,
    epochs: small_network.Epochs = 500,
    save: small_network.Save = None,
    lower: small_network.Lower = None,
    upper: small_network.Upper = None,
    limit: small_network.Limit = 200_000,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="Point A, like 0.1,-0.2. Default: the training point closest to the "
            "decision boundary.",
            rich_help_panel="Step",
        ),
    ] = None,
    end: Annotated[
        str | None,
        typer.Option(
            "--to",
            help="Point B. Default: A moved by --step towards the boundary.",
            rich_help_panel="Step",
        ),
    ] = None,
    step: Annotated[
        float, typer.Option(help="The distance from A to B.", rich_help_panel="Step")
    ] = 0.15,
    out: Annotated[
        Path, typer.Option(help="Folder for pictures and numbers.", rich_help_panel="Run")
    ] = Path("regions"),
    seed: options.Seed = 0,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Divide the input space of a small network into its linear regions.

    Writes regions.png and regions.svg (two inputs; the paper's figure 1: borders in the
    colour of their layer, regions without a training point tinted, a small step from A to B),
    regions.csv (one row a region) and regions.json.
    """
    if not (math.isfinite(step) and step > 0):
        raise ConfigurationError(f"expected a finite --step above 0, got {step}")
    make_folder(out)
    with own_stdout():
        subject = small_network.build_subject(
            network,
            data,
            weights_key=weights_key,
            points=points,
            widths=widths,
            activation=activation,
            bias=bias,
            epochs=epochs,
            save=save,
            lower=lower,
            upper=upper,
            seed=seed,
        )
        document = study(subject, out, "regions", _step(subject, start, end, step), limit)
    answer(document, as_json, regions_report.show)


def study(
    subject: "Subject", out: Path, name: str, a_to_b: "Step | None", limit: int
) -> dict[str, Any]:
    """Find a network's regions, write NAME.json, .csv, .png and .svg, and return the document.

    Parameters
    ----------
    subject
        The network and its box.
    out, name
        The folder, which is there, and what files are called.
    a_to_b
        Points A and B, [n] each, if a step is to be shown.
    limit
        The most regions.
    """
    from bandlimiter.cli.progress import waiting
    from bandlimiter.geometry import enumerate_regions

    with waiting("finding regions (compiles its loops when first run)"):
        found = enumerate_regions(subject.network, subject.lower, subject.upper, limit=limit)
    document = regions_report.describe(subject, found, a_to_b)
    files = [
        regions_report.write_rows(out / f"{name}.csv", subject, found),
        *regions_report.draw(out / name, subject, found, document),
    ]
    document["files"] = [str(path) for path in (out / f"{name}.json", *files)]
    write_json(out / f"{name}.json", document)
    return document


def _step(subject: "Subject", start: str | None, end: str | None, length: float) -> "Step | None":
    """Return the points A and B, or None where there is nothing to choose them by."""
    from bandlimiter.models import closest_to_boundary

    if start is not None and end is not None:
        return small_network.read_point(start, "--from"), small_network.read_point(end, "--to")
    if subject.planar is None:
        if start is None and end is None:
            return None
        raise ConfigurationError("expected --from and --to together where there is no --data")
    given = None if start is None else small_network.read_point(start, "--from")
    try:
        a, towards = closest_to_boundary(
            subject.network, subject.planar.points, subject.planar.labels, given
        )
    except InputError:
        if start is not None or end is not None:
            raise
        return None  # a regression, or a network that has learnt nothing: nothing to show
    return a, a + length * towards if end is None else small_network.read_point(end, "--to")
