"""What ``bandlimiter trace`` says of a line: crossings, ends, files, and the tables."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bandlimiter.cli.files import write_csv
from bandlimiter.cli.trace.endpoints import Point
from bandlimiter.draw import draw_line, save_figure
from bandlimiter.draw.decisions import label_changes
from bandlimiter.geometry.graph import Graph
from bandlimiter.geometry.tracing import LineTrace, count_flips, piece_around

_TOP = 3


def describe(
    trace: LineTrace,
    graph: Graph,
    start: Point,
    end: Point,
    scale: torch.Tensor,
    names: Sequence[str] | None,
    seconds: float,
) -> dict[str, Any]:
    """Return the document of a line: lengths, layers, both ends, changes of the label."""
    step = end.x - start.x
    length = float((step / scale).norm())
    ends = torch.stack([start.x, start.x + trace.reached * step])
    flips = count_flips(graph, ends[:1], ends[1:])
    around = piece_around(graph, ends, step.expand_as(ends))
    pieces = [
        {"before": _finite(length * float(before)), "after": _finite(length * float(after))}
        for before, after in zip(around.before, around.after, strict=True)
    ]
    return {
        "line": {
            "length": length,
            "length_pixels": float(step.norm()),
            "length_pixels_linf": float(step.abs().max()),
            "reached": trace.reached,
            "breakpoints": len(trace),
            "seconds": seconds,
            "breakpoints_per_second": len(trace) / max(seconds, 1e-9),
        },
        "layers": [
            {
                "layer": layer.name,
                "units": torch.Size(layer.shape).numel(),
                "crossings": trace.crossings[layer.name],
                "flips": int(flips[layer.name]),
            }
            for layer in graph.layers
        ],
        "start": {**describe_point(start, trace.outputs[0], names), "piece": pieces[0]},
        "end": {**describe_point(end, trace.outputs[-1], names), "piece": pieces[1]},
        "label_changes": [
            {"t": place, "from": before, "to": after}
            for place, before, after in label_changes(trace.knots, trace.outputs)
        ],
        "left_off": trace.left_off,
    }


def describe_point(
    point: Point, outputs: Sequence[float], names: Sequence[str] | None
) -> dict[str, Any]:
    """Return what a point is, and what the network says there in float64."""
    logits = [float(output) for output in outputs]
    label = max(range(len(logits)), key=logits.__getitem__)
    return {
        "what": point.what,
        "data_label": point.label,
        "label": label,
        "name": names[label] if names else str(label),
        "logits": logits,
    }


def write_breakpoints(out: Path, trace: LineTrace) -> Path:
    """Write breakpoints.csv: a row a breakpoint, the unit flat and by its axes."""
    axes = np.empty(len(trace), dtype=object)
    for name, shape in trace.shapes.items():
        mine = np.flatnonzero(trace.layer == name)
        places = np.unravel_index(trace.unit[mine], shape or (1,))
        axes[mine] = [" ".join(map(str, place)) for place in zip(*places, strict=True)]
    rows = zip(trace.t, trace.layer, trace.unit, axes, trace.threshold, strict=True)
    return write_csv(
        out / "breakpoints.csv", ["t", "layer", "unit", "unit_axes", "threshold"], rows
    )


def draw(
    out: Path, trace: LineTrace, document: dict[str, Any], names: Sequence[str] | None
) -> list[Path]:
    """Draw line.png and line.svg."""
    figure = draw_line(
        trace,
        length=document["line"]["length"],
        names=names,
        title=f"{document['start']['what']} to {document['end']['what']}",
    )
    return save_figure(figure, out / "line")


def show(document: dict[str, Any], names: Sequence[str] | None) -> None:
    """Print crossings and flips by layer, and the line's facts."""
    console, line = Console(), document["line"]
    console.print(layer_table(document["layers"], "crossings", "flips"))
    facts = facts_table()
    facts.add_row("from", document["start"]["what"])
    facts.add_row("to", document["end"]["what"])
    facts.add_row(
        "length",
        f"{line['length']:.4g} normalised; in pixels {line['length_pixels']:.4g} (L2), "
        f"{255 * line['length_pixels_linf']:.3g}/255 (L-inf)",
    )
    facts.add_row(
        "breakpoints",
        f"{line['breakpoints']} in {line['seconds']:.1f} s "
        f"({line['breakpoints_per_second']:.0f} a second)",
    )
    for side in ("start", "end"):
        piece = document[side]["piece"]
        facts.add_row(
            f"piece around the {side}",
            f"{_sum(piece['before'], piece['after'])} long, normalised: {_length(piece['before'])} "
            f"back and {_length(piece['after'])} ahead",
        )
    for side in ("start", "end"):
        facts.add_row(f"outputs at the {side}", leading_outputs(document[side]["logits"], names))
    changes = [
        f"{_name(change['from'], names)} to {_name(change['to'], names)} at t = {change['t']:.6g}"
        for change in document["label_changes"]
    ]
    facts.add_row("the label changes", "; ".join(changes) or "nowhere on the line")
    show_rest(console, facts, document)


def layer_table(layers: Sequence[dict[str, Any]], *columns: str) -> Table:
    """Return a table with a row a layer, numbered as in the pictures, and the sums."""
    table = Table(show_footer=True)
    table.add_column("", justify="right")
    table.add_column("layer", footer="all")
    for column in ("units", *columns):
        total = str(sum(layer[column] for layer in layers))
        table.add_column(column, justify="right", footer=total)
    for number, layer in enumerate(layers, start=1):
        counts = (str(layer[column]) for column in ("units", *columns))
        table.add_row(str(number), escape(layer["layer"]), *counts)
    return table


def facts_table() -> Table:
    """Return an empty table of two columns."""
    table = Table(show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    return table


def show_rest(console: Any, facts: Table, document: dict[str, Any]) -> None:
    """Print the facts, the softmax that was left off, and where the files are."""
    if document["left_off"] is not None:
        facts.add_row("left off", f"the final softmax ({document['left_off']})")
    console.print(facts, markup=False)
    console.print("wrote " + ", ".join(document["files"]), highlight=False, markup=False)


def leading_outputs(logits: Sequence[float], names: Sequence[str] | None) -> str:
    """Return the largest outputs in words."""
    order = sorted(range(len(logits)), key=lambda label: -logits[label])[:_TOP]
    return ", ".join(f"{_name(label, names)} {logits[label]:.4g}" for label in order)


def _name(label: int, names: Sequence[str] | None) -> str:
    return names[label] if names else f"output {label}"


def _finite(number: float) -> float | None:
    return None if number == float("inf") else number


def _length(number: float | None) -> str:
    return "without end" if number is None else f"{number:.3g}"


def _sum(before: float | None, after: float | None) -> str:
    return "without end" if before is None or after is None else f"{before + after:.3g}"
