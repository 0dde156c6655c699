"""``bandlimiter regions``: the linear regions of a small network, counted and drawn."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bandlimiter.cli import options, small_network
from bandlimiter.cli.guard import guarded
from bandlimiter.cli.output import own_stdout, print_json
from bandlimiter.errors import ConfigurationError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bandlimiter.cli.small_network import Subject
    from bandlimiter.geometry import Regions

    Step = tuple[NDArray[np.float64], NDArray[np.float64]]


@guarded
def regions(
    network: small_network.Network = None,
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
    with own_stdout():
        subject = small_network.build_subject(
            network,
            data,
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
        from bandlimiter.cli.progress import waiting
        from bandlimiter.geometry import enumerate_regions

        with waiting("finding regions (compiles its loops when first run)"):
            found = enumerate_regions(subject.network, subject.lower, subject.upper, limit=limit)
        a_to_b = _step(subject, start, end, step)
        document = _document(subject, found, a_to_b)
        out.mkdir(parents=True, exist_ok=True)
        files = [_write_rows(out, subject, found), *_draw(out, subject, found, a_to_b)]
        document["files"] = [str(path) for path in (out / "regions.json", *files)]
        from bandlimiter.cli.files import write_json

        write_json(out / "regions.json", document)
    if as_json:
        print_json(document)
    else:
        _show(document)


def _step(subject: "Subject", start: str | None, end: str | None, length: float) -> "Step | None":
    """Return the points A and B, or None where there is nothing to choose them by."""
    from bandlimiter.models import closest_to_boundary

    if start is not None and end is not None:
        return small_network.read_point(start, "--from"), small_network.read_point(end, "--to")
    if subject.planar is None:
        if start is None and end is None:
            return None
        raise ConfigurationError("expected --from and --to together where there is no --data")
    if length <= 0:
        raise ConfigurationError(f"expected a --step above 0, got {length}")
    given = None if start is None else small_network.read_point(start, "--from")
    a, towards = closest_to_boundary(
        subject.network, subject.planar.points, subject.planar.labels, given
    )
    return a, a + length * towards if end is None else small_network.read_point(end, "--to")


def _document(subject: "Subject", found: "Regions", step: "Step | None") -> dict[str, Any]:
    import numpy as np

    from bandlimiter.geometry import max_regions, maximal_regions, segment_crossings

    volumes = found.volumes
    per_layer = [
        {
            "layer": layer.name,
            "units": layer.width,
            "hyperplanes": layer.bits.stop - layer.bits.start,
            "facets": int(np.isin(found.facet_hyperplanes, np.r_[layer.bits]).sum()),
        }
        for layer in found.network.layers
    ]
    counts: dict[str, Any] = {
        "count": len(found),
        "maximal": len(maximal_regions(found)),
        "bound": max_regions([layer["hyperplanes"] for layer in per_layer], found.dim),
        "faces": list(found.face_counts),
        "volume": {
            "total": float(volumes.sum()),
            "median": float(np.median(volumes)),
            "smallest": float(volumes.min()),
            "largest": float(volumes.max()),
        },
    }
    if subject.planar is not None:
        occupied = found.occupancy(subject.planar.points) > 0
        counts["without_points"] = int((~occupied).sum())
        counts["volume_without_points"] = float(volumes[~occupied].sum())
    document: dict[str, Any] = {
        "settings": {
            **subject.settings,
            "lower": found.lower.tolist(),
            "upper": found.upper.tolist(),
        },
        "regions": counts,
        "layers": per_layer,
    }
    if step is not None:
        crossed = segment_crossings(found.network, *step)
        document["step"] = {
            "from": step[0].tolist(),
            "to": step[1].tolist(),
            "length": float(np.linalg.norm(step[1] - step[0])),
            "outputs": found.network(np.stack(step)).tolist(),
            "crossings": dict(crossed.crossings),
            "flips": dict(crossed.flips),
        }
    return document


def _write_rows(out: Path, subject: "Subject", found: "Regions") -> Path:
    from bandlimiter.cli.files import write_csv

    outputs, dim = found.network.outputs, found.dim
    header = ["region", "volume", "vertices", "points", "pattern"]
    header += [f"weight_{m}_{i}" for m in range(outputs) for i in range(dim)]
    header += [f"bias_{m}" for m in range(outputs)]
    held = None if subject.planar is None else found.occupancy(subject.planar.points)
    rows = (
        [
            r,
            found.volumes[r],
            len(found.vertices_of(r)),
            "" if held is None else held[r],
            found.packed_patterns[r].tobytes().hex(),
            *found.weights[r].ravel(),
            *found.biases[r],
        ]
        for r in range(len(found))
    )
    return write_csv(out / "regions.csv", header, rows)


def _draw(out: Path, subject: "Subject", found: "Regions", step: "Step | None") -> list[Path]:
    if found.dim != 2:
        return []  # the table says so
    from bandlimiter.draw import draw_regions, save_figure

    planar = subject.planar
    figure = draw_regions(
        found,
        points=None if planar is None else planar.points,
        labels=None if planar is None else planar.labels,
        step=step,
        title=f"{len(found)} linear regions",
    )
    return save_figure(figure, out / "regions")


def _show(document: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    counts, console = document["regions"], Console()
    table = Table(show_header=False)
    table.add_row("regions", str(counts["count"]))
    table.add_row("  of different affine maps", str(counts["maximal"]))
    table.add_row("  at most (deep bound)", str(counts["bound"]))
    table.add_row(
        "volume: smallest / median", "{smallest:.3g} / {median:.3g}".format(**counts["volume"])
    )
    if "without_points" in counts:
        part = counts["volume_without_points"] / counts["volume"]["total"]
        text = f"{counts['without_points']} ({part:.0%} of the box)"
        table.add_row("without a training point", text)
    number = {layer["layer"]: i for i, layer in enumerate(document["layers"], start=1)}
    for layer in document["layers"]:
        table.add_row(
            f"layer {number[layer['layer']]} (module {layer['layer']})",
            f"{layer['units']} units, {layer['facets']} border pieces",
        )
    if "step" in document:
        step = document["step"]
        crossed = ", ".join(
            f"{count} of layer {number[name]}" for name, count in step["crossings"].items()
        )
        table.add_row(f"crossed from A to B ({step['length']:.3g})", crossed)
    console.print(table)
    if not any(path.endswith(".png") for path in document["files"]):
        console.print("no picture: pictures are of two inputs", highlight=False)
    console.print("wrote " + ", ".join(document["files"]), highlight=False, markup=False)
