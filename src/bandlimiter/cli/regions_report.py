"""What ``bandlimiter regions`` says: counts, files, and the table on the terminal."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bandlimiter.cli.small_network import Subject
    from bandlimiter.geometry import Regions

    Step = tuple[NDArray[np.float64], NDArray[np.float64]]


def describe(subject: "Subject", found: "Regions", step: "Step | None") -> dict[str, Any]:
    """Return the document: settings, counts, layers, and the step from A to B."""
    import numpy as np

    from bandlimiter.geometry import max_regions, maximal_regions, segment_crossings
    from bandlimiter.geometry.network import Sum

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
        "bound": max_regions(
            [layer["hyperplanes"] for layer in per_layer],
            found.dim,
            residual=any(isinstance(step, Sum) for step in found.network.steps),
        ),
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


def write_rows(path: Path, subject: "Subject", found: "Regions") -> Path:
    """Write a row a region, with its affine map."""
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
    return write_csv(path, header, rows)


def draw(stem: Path, subject: "Subject", found: "Regions", document: dict[str, Any]) -> list[Path]:
    """Draw the paper's figure 1 and return the files; none unless there are two inputs."""
    if found.dim != 2:
        return []  # the table says so
    import numpy as np

    from bandlimiter.draw import draw_regions, save_figure

    planar, step = subject.planar, document.get("step")
    figure = draw_regions(
        found,
        points=None if planar is None else planar.points,
        labels=None if planar is None else planar.labels,
        step=None if step is None else (np.array(step["from"]), np.array(step["to"])),
        title=f"{len(found)} linear regions",
        step_title="" if step is None else f"hyperplanes from A to B: {crossed(document)}",
    )
    return save_figure(figure, stem)


def crossed(document: dict[str, Any]) -> str:
    """Say how many hyperplanes the step crosses, and how many of each layer."""
    counts = list(document["step"]["crossings"].values())
    layers = "layer 1" if len(counts) == 1 else f"layers 1 to {len(counts)}"
    return f"{sum(counts)} crossed ({layers}: {', '.join(map(str, counts))})"


def show(document: dict[str, Any]) -> None:
    """Print the counts as a table, and where the files are."""
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
        table.add_row(
            f"hyperplanes from A to B ({document['step']['length']:.3g})", crossed(document)
        )
    console.print(table)
    if "step" not in document:
        console.print("no step from A to B: give --from and --to", highlight=False)
    if not any(path.endswith(".png") for path in document["files"]):
        console.print("no picture: pictures are of two inputs", highlight=False)
    console.print("wrote " + ", ".join(document["files"]), highlight=False, markup=False)
