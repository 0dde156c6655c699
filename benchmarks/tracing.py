"""Breakpoints a second along lines through CIFAR ResNets, and how time grows.

OMP_NUM_THREADS=1 python benchmarks/tracing.py --weights20 FILE --weights56 FILE --data npz:FILE

1. Growth with the segment's length (in normalised units) and with depth. Without weights
   the networks keep their random initialisation, and only growth means something.
2. Against marching from piece to piece, the way without a sweep: each breakpoint costs a
   value and a derivative of the whole network. Both must find the same breakpoints.
3. Our convolution in float64 against PyTorch's own, layer by layer.
"""

import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from timing import begin, end, median, parser, ratios, take_turns
from torch import nn

from bandlimiter import load_data, load_model
from bandlimiter.geometry import Graph, LineTrace, piece_around, read_graph, trace_line
from bandlimiter.geometry.graph.convolution import convolution
from bandlimiter.models.cifar_resnet import CifarResNet
from bandlimiter.tensors import generator

LENGTHS = {20: (0.05, 0.1, 0.2, 0.4, 0.8), 56: (0.025, 0.05, 0.1, 0.2)}
MARCHED = 0.01
LAYERS = ((16, 16, 32, 1), (32, 32, 16, 1), (64, 64, 8, 1), (16, 32, 32, 2))
"""Channels in and out, width of the image, stride: the layers of a CIFAR ResNet."""


def network(depth: int, weights: Path | None) -> nn.Sequential:
    """Return the normaliser and the network behind it."""
    if weights is not None:
        return load_model(f"cifar-resnet{depth}", weights).module
    torch.manual_seed(depth)
    return nn.Sequential(load_model("sample").module[0], CifarResNet(depth).eval())


def march(graph: Graph, start: torch.Tensor, end_: torch.Tensor) -> np.ndarray:
    """Find the breakpoints one after another, from piece to piece."""
    direction, t, found = end_ - start, 0.0, []
    while True:
        piece = piece_around(graph, (start + t * direction)[None], direction[None])
        t += float(piece.after[0])
        if t >= 1:
            return np.array(found)
        found.append(t)
        t += 1e-13  # over the breakpoint, on which the piece before would be found again


def growth(graphs: dict[int, Graph], start: torch.Tensor, unit: torch.Tensor) -> list[Any]:
    print("\nbreakpoints along a line in a random direction")
    print(f"{'network':>10} {'length':>7} {'breakpoints':>12} {'seconds':>8} {'a second':>9}")
    rows = []
    for depth, graph in graphs.items():
        for length in LENGTHS[depth]:
            call = partial(trace_line, graph, start, start + length * unit)
            count = len(call())
            seconds = median(take_turns({"ours": call}, 1)["ours"])
            rows.append({"depth": depth, "length": length, "count": count, "seconds": seconds})
            print(
                f"{f'ResNet-{depth}':>10} {length:7.3f} {count:12} {seconds:8.2f} "
                f"{count / seconds:9.0f}"
            )
        mine = [row for row in rows if row["depth"] == depth]
        counts, seconds_ = (np.log([row[key] for row in mine]) for key in ("count", "seconds"))
        lengths = np.log([row["length"] for row in mine])
        print(
            f"  breakpoints grow like length^{np.polyfit(lengths, counts, 1)[0]:.2f}, seconds like "
            f"breakpoints^{np.polyfit(counts, seconds_, 1)[0]:.2f}"
        )
    return rows


def against_marching(
    graphs: dict[int, Graph], start: torch.Tensor, unit: torch.Tensor, rounds: int
) -> list[Any]:
    print(f"\nagainst marching from piece to piece, length {MARCHED}: how many times faster")
    rows = []
    for depth, graph in graphs.items():
        ends = start, start + MARCHED * unit
        trace: LineTrace = trace_line(graph, *ends)
        marched = march(graph, *ends)
        if len(marched) != len(trace) or not np.allclose(marched, trace.t, atol=1e-10):
            sys.exit(f"ResNet-{depth}: {len(trace)} breakpoints traced, {len(marched)} marched")
        times = take_turns(
            {"ours": partial(trace_line, graph, *ends), "march": partial(march, graph, *ends)},
            rounds,
        )
        ratio = ratios(times, "ours", "march")
        rows.append({"depth": depth, "count": len(trace), "ratio": ratio})
        print(f"  ResNet-{depth}, {len(trace)} breakpoints: {_spread(ratio)}")
    return rows


def convolutions(rounds: int) -> list[Any]:
    print("\nconvolution 3x3 of 64 images in float64 against PyTorch's: how many times faster")
    rows = []
    for inputs, outputs, width, stride in LAYERS:
        rng = generator(0, "convolution", inputs, outputs)
        x = torch.randn(64, inputs, width, width, generator=rng, dtype=torch.float64)
        weight = torch.randn(outputs, inputs, 3, 3, generator=rng, dtype=torch.float64)
        rest = (stride, stride), (1, 1), (1, 1), False, (0, 0), 1
        with torch.inference_mode():
            times = take_turns(
                {
                    "ours": partial(convolution, x, weight, None, *rest),
                    "torch": partial(F.conv2d, x, weight, stride=stride, padding=1),
                },
                rounds,
            )
        ratio = ratios(times, "ours", "torch")
        rows.append({"layer": (inputs, outputs, width, stride), "ratio": ratio})
        print(f"  {inputs} -> {outputs}, {width}x{width}, stride {stride}: {_spread(ratio)}")
    return rows


def _spread(ratio: tuple[float, float, float]) -> str:
    return "{:.2f} ({:.2f}..{:.2f})".format(*ratio)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--weights20", type=Path, help="checkpoint of a ResNet-20")
    options.add_argument("--weights56", type=Path, help="checkpoint of a ResNet-56")
    options.add_argument("--data", default="sample", help="as for bandlimiter evaluate")
    args = options.parse_args()
    numbers: dict[str, Any] = {"machine": begin()}
    weights = {20: args.weights20, 56: args.weights56}
    modules = {depth: network(depth, path) for depth, path in weights.items()}
    start = modules[20][0](load_data(args.data).images(0, 1))[0].double()
    drawn = torch.randn(start.shape, generator=generator(0, "line"), dtype=torch.float64)
    unit = drawn / drawn.norm()
    shape = tuple(start.shape)
    graphs = {depth: read_graph(module[1:], shape) for depth, module in modules.items()}
    numbers["growth"] = growth(graphs, start, unit)
    numbers["marching"] = against_marching(graphs, start, unit, min(args.rounds, 5))
    numbers["convolutions"] = convolutions(args.rounds)
    end(args.json, numbers)


if __name__ == "__main__":
    main()
