"""What flips cost in VGG16 at 224 x 224, and their order of magnitude.

The weights are random (torchvision's own law, seeded), so that no rate of a trained network
is claimed. Perturbations are 0.35 long in the network's input space, the length that the
paper names: in a random direction, and along the sign of the loss's gradient. One line, as
long as some 150 crossings take, is traced exactly::

    python tools/tracing/vgg16_flips.py --data npz:FILE --limit 5 --out DIR
"""

import argparse
import json
import time
from pathlib import Path

import lines
import torch
import torch.nn.functional as F
from intervals import mean
from ledger import Ledger, Row
from rich.console import Console
from rich.table import Table
from subjects import directions, parser, run, unit
from torch import nn
from torchvision.models import vgg16

from bandlimiter import load_data
from bandlimiter.geometry.graph import BendStep, Graph, read_graph
from bandlimiter.geometry.tracing import count_flips
from bandlimiter.tensors.normalise import Normalise

PAPER = 5278
"""Hyperplanes crossed a layer, by the paper: trained weights, PGD."""

AIM = 0.75
"""The line is as long as should take this part of the breakpoints that are allowed."""

KINDS = ("random", "gradient's sign")


def random_network(seed: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return vgg16(weights=None).eval().requires_grad_(False)


def gradient_sign(network: nn.Module, point: torch.Tensor) -> torch.Tensor:
    """Return the sign of the loss's gradient, for the class that the network gives."""
    x = point.float().requires_grad_()
    logits = network(x)
    F.cross_entropy(logits, logits.argmax(dim=1)).backward()
    return x.grad.sign().double()


def count(network: nn.Module, graph: Graph, points: torch.Tensor, args) -> list[Row]:
    """Return a row for each image: flips by layer and kind, and the seconds of one pair."""

    def row(i: int) -> Row:
        start = points[i : i + 1]
        step = {
            "random": directions(start[0], 1, args.seed, "random", i),
            "gradient's sign": unit(gradient_sign(network, start)),
        }
        flips, seconds = {}, []
        for kind in KINDS:
            started = time.process_time()
            found = count_flips(graph, start, start + args.length * step[kind])
            seconds.append(time.process_time() - started)
            flips[kind] = {layer: int(number) for layer, number in found.items()}
        return {"flips": flips, "seconds": sum(seconds) / len(seconds)}

    ledger = Ledger(
        args.out / "vgg16.jsonl",
        {"length": args.length, "seed": args.seed, "data": Path(args.data).name},
    )
    return ledger.fill(map(str, range(len(points))), row, "VGG16")


def trace(graph: Graph, point: torch.Tensor, rows: list[Row], args) -> Row:
    """Trace one line in the random direction, so short that it stays below the limit."""
    crossed = max(sum(rows[0]["flips"]["random"].values()), 1)
    length = args.length * AIM * args.breakpoints / crossed
    direction = directions(point, 1, args.seed, "random", 0)[0]

    def row(_: int) -> Row:
        return lines.measured(graph, point, point + length * direction)

    ledger = Ledger(args.out / "vgg16-line.jsonl", {"breakpoints": args.breakpoints})
    return ledger.fill(["line"], row, "VGG16's line")[0]


def main(args: argparse.Namespace) -> None:
    console = Console(width=120)
    network = random_network(args.seed)
    normalise = Normalise((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)).double()
    points = normalise(load_data(args.data, args.limit).images(0, args.limit).double())
    graph = read_graph(network, tuple(points.shape[1:]))
    rows = count(network, graph, points, args)

    bends = {layer.name: isinstance(layer, BendStep) for layer in graph.layers}
    table = Table(title=f"VGG16, random weights, |dx| = {args.length}: flips [95 %, bootstrap]")
    for heading in ("layer", "units", *KINDS):
        table.add_column(heading, justify="right")
    found = {}
    for layer in graph.layers:
        by_kind = {k: mean([row["flips"][k][layer.name] for row in rows]) for k in KINDS}
        found[layer.name] = by_kind
        name = layer.name if bends[layer.name] else f"{layer.name} (max)"
        units = str(torch.Size(layer.shape).numel())
        table.add_row(name, units, *(f"{by_kind[k]:.1f}" for k in KINDS))
    relus = [name for name, bend in bends.items() if bend]
    a_layer = {
        k: mean([sum(row["flips"][k][name] for name in relus) / len(relus) for row in rows])
        for k in KINDS
    }
    table.add_section()
    table.add_row("a ReLU layer", "", *(f"{a_layer[k]:.1f}" for k in KINDS))
    console.print(table)

    line = trace(graph, points[0], rows, args) if args.breakpoints else None
    seconds = sum(row["seconds"] for row in rows) / len(rows)
    text = (
        f"VGG16 with random weights at 224 x 224, {len(rows)} images: |dx| = {args.length} flips "
        f"{a_layer['random']:.0f} units a ReLU layer in a random direction and "
        f"{a_layer[KINDS[1]]:.0f} along the gradient's sign (the paper: {PAPER} a layer, trained "
        f"weights, PGD); {seconds:.1f} s of processor time a pair."
    )
    if line:
        text += (
            f" A line of length {line['length']:.2e} has {line['breakpoints']} breakpoints "
            f"({sum(line['flips'].values())} units differ at its ends), traced in "
            f"{line['processor_seconds']:.0f} s, with {line['peak_mebibytes']:.0f} MiB at the most "
            f"({line['peak_mebibytes_before']:.0f} before)."
        )
    console.print(text, soft_wrap=True)
    document = {"layers": found, "a_layer": a_layer, "seconds": seconds, "line": line}
    (args.out / "vgg16.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    options = parser(__doc__, limit=5, model=False)
    options.add_argument("--length", type=float, default=0.35, help="of the perturbations")
    options.add_argument("--breakpoints", type=int, default=200, help="of the line, 0 for none")
    run(main, options)
