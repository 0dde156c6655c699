"""What ``bandlimiter trace --plane`` says: regions, classes, files, and the tables."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console

from bandlimiter.cli.files import write_csv
from bandlimiter.cli.trace import report
from bandlimiter.cli.trace.endpoints import Point
from bandlimiter.cli.trace.slice import Slice
from bandlimiter.draw import draw_trace_plane, save_figure
from bandlimiter.draw.decisions import cell_labels, divided_cells
from bandlimiter.geometry.graph import Graph
from bandlimiter.geometry.tracing import PlaneTrace

Floats = NDArray[np.float64]


def describe(
    trace: PlaneTrace,
    graph: Graph,
    plane: Slice,
    points: Sequence[Point],
    names: Sequence[str] | None,
    seconds: float,
) -> dict[str, Any]:
    """Return the document of a plane: window, layers, the share of each class, the points."""
    low_a, high_a, low_b, high_b = trace.extent
    areas = trace.areas
    marks = {name: place.tolist() for name, place in plane.marks.items()}
    outputs = [graph(point.x[None].to(graph.device)).flatten().tolist() for point in points]
    return {
        "plane": {
            "window": list(trace.extent),
            "traced_share": float(areas.sum() / ((high_a - low_a) * (high_b - low_b))),
            "regions": len(trace),
            "area_median": float(np.median(areas)),
            "area_largest": float(areas.max()),
            "seconds": seconds,
            "regions_per_second": len(trace) / max(seconds, 1e-9),
            "marks": marks,
        },
        "layers": [
            {
                "layer": layer.name,
                "units": torch.Size(layer.shape).numel(),
                "border_pieces": int((trace.edge_layer == number).sum()),
            }
            for number, layer in enumerate(graph.layers)
        ],
        "classes": [
            {"label": label, "name": names[label] if names else str(label), "share": share}
            for label, share in _shares(trace).items()
        ],
        "points": [
            report.describe_point(point, logits, names)
            for point, logits in zip(points, outputs, strict=True)
        ],
        "left_off": trace.left_off,
    }


def write_regions(out: Path, trace: PlaneTrace) -> Path:
    """Write regions.csv: a row a region; the label is the class on top at its centre."""
    centres, outputs = _centres(trace)
    columns = (np.arange(len(trace)), trace.areas, *centres.T, outputs.argmax(axis=1))
    header = ["region", "area", "centre_a", "centre_b", "label"]
    return write_csv(out / "regions.csv", header, zip(*columns, strict=True))


def draw(
    out: Path,
    trace: PlaneTrace,
    plane: Slice,
    document: dict[str, Any],
    names: Sequence[str] | None,
) -> list[Path]:
    """Draw plane.png and plane.svg."""
    towards, found = list(plane.marks)[1], document["plane"]
    share, samples = found["traced_share"], found.get("samples")
    part = "" if share > 0.999 else f" in {share:.1%} of the window"
    figure = draw_trace_plane(
        trace,
        marks=plane.marks,
        samples=None if samples is None else np.array(samples),
        names=names,
        axes=(f"towards the {towards}, normalised units", "at right angles, normalised units"),
        title=f"{len(trace)} linear regions{part}",
    )
    return save_figure(figure, out / "plane")


def show(document: dict[str, Any], names: Sequence[str] | None) -> None:
    """Print the border pieces by layer, and the plane's facts."""
    console, plane = Console(), document["plane"]
    console.print(report.layer_table(document["layers"], "border_pieces"))
    facts = report.facts_table()
    low_a, high_a, low_b, high_b = plane["window"]
    facts.add_row(
        "window", f"a {low_a:.4g} to {high_a:.4g}, b {low_b:.4g} to {high_b:.4g}, normalised"
    )
    facts.add_row(
        "regions",
        f"{plane['regions']} in {plane['seconds']:.1f} s ({plane['regions_per_second']:.0f} a "
        f"second); median area {plane['area_median']:.3g}",
    )
    shares = ", ".join(f"{found['name']} {found['share']:.1%}" for found in document["classes"])
    facts.add_row("classes", shares)
    for (name, (a, b)), point in zip(plane["marks"].items(), document["points"], strict=False):
        said = report.leading_outputs(point["logits"], names)
        facts.add_row(name, f"at ({a:.4g}, {b:.4g}): {said}")
    if "samples" in plane:
        seen = sum(low_a <= a <= high_a and low_b <= b <= high_b for a, b in plane["samples"])
        said = f"{seen} of {len(plane['samples'])}, projected on the plane"
        facts.add_row("samples in the window", said)
    whole = plane["whole"]
    if whole is not None:
        facts.add_row(
            "both images inside",
            f"would take half a width of {whole['extent']:.3g} and about "
            f"{whole['expected_regions']:.0e} regions; --extent and --around choose another window",
        )
    report.show_rest(console, facts, document)


def _shares(trace: PlaneTrace) -> dict[int, float]:
    """Return the share of the traced area on which each class leads, exactly."""
    labels, areas = cell_labels(trace), trace.areas
    whole = labels >= 0
    found = np.zeros(trace.outputs.shape[1])
    np.add.at(found, labels[whole], areas[whole])
    for _, label, shape, _ in divided_cells(trace, labels):
        x, y = (shape - shape[0]).T
        found[label] += abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2
    leading = np.argsort(-found, kind="stable")
    return {int(k): float(found[k] / areas.sum()) for k in leading if found[k] > 0}


def _centres(trace: PlaneTrace) -> tuple[Floats, Floats]:
    """Return each cell's centre of area [C, 2] and the outputs there [C, m]."""
    offsets, corners = trace.cell_offsets, trace.cell_vertices
    sizes = np.diff(offsets)
    cell = np.repeat(np.arange(len(sizes)), sizes)
    # A fan of triangles from each cell's first corner, one for each corner between its
    # first and its last.
    inner = np.ones(len(corners), dtype=bool)
    inner[offsets[:-1]] = inner[offsets[1:] - 1] = False
    second = np.flatnonzero(inner)
    owner = cell[second]
    fan = np.stack([corners[offsets[owner]], corners[second], corners[second + 1]])
    a, b, c = trace.vertices[fan]
    (x1, y1), (x2, y2) = (b - a).T, (c - a).T
    area = np.maximum(x1 * y2 - y1 * x2, 1e-300)
    weight = area / np.bincount(owner, area, len(sizes))[owner]

    def mean(values: Floats) -> Floats:
        parts = values[fan].mean(axis=0) * weight[:, None]
        columns = [np.bincount(owner, column, len(sizes)) for column in parts.T]
        return np.stack(columns, axis=1)

    return mean(trace.vertices), mean(trace.outputs)
