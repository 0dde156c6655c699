"""Hold traces of lines against real networks, by a route of its own.

A line of a given length (in the network's normalised units) goes from an image in a random
direction. The trace is compared with a float64 copy of the module, whose ReLUs and poolings
are watched while it runs; the graph that is traced has no part in it::

    python tools/check_trace.py --model cifar-resnet20 --weights resnet20.th --data npz:FILE
    python tools/check_trace.py --model torchvision:vgg16 --random-weights --data npz:FILE \
        --max-breakpoints 200 --checked 20

Prints one line for each property with the largest error, and ends with 1 if one is broken.
"""

import argparse
import copy
import itertools
import resource
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode

from bandlimiter import load_data, load_model
from bandlimiter.geometry.graph import Graph, read_graph
from bandlimiter.geometry.tracing import LineTrace, count_flips, trace_line
from bandlimiter.models.cifar_resnet import MEAN, STD
from bandlimiter.models.classifier import imagenet_classifier
from bandlimiter.tensors import generator

PRECISION = 1e-9
MERGED = 1e-9
"""Breakpoints that are closer, as parts of the line, are taken together."""
NOISE = 1e-12
"""Of a layer's largest number: numbers in a pooling window that differ by less are equal."""
RUNS = 10
"""The breakpoints that are checked come in so many runs of neighbours."""
CHUNK = 2**23
"""Numbers that the watched layers may hold at the points of one pass."""

Pool = Callable[..., Any]
Watcher = Callable[[int, Pool | None, torch.Tensor], None]


class Watch(TorchFunctionMode):
    """Tells ``seen`` a layer's number, its pooling (None for a ReLU), and what it is given."""

    def __init__(self, seen: Watcher) -> None:
        super().__init__()
        self._seen, self._number = seen, itertools.count()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (F.relu, torch.relu, torch.relu_):
            self._seen(next(self._number), None, args[0])
        if func is F.max_pool2d:
            self._seen(
                next(self._number), lambda x, **more: func(x, *args[1:], **kwargs | more), args[0]
            )
        return func(*args, **kwargs)


@dataclass
class Line:
    """The module itself, in float64, at points of the line: [points, ...] at once."""

    module: nn.Module
    start: torch.Tensor
    end: torch.Tensor
    points: int = 2

    @torch.no_grad()
    def at(self, t: np.ndarray, seen: Watcher | None = None) -> np.ndarray:
        """Return the outputs at t [N], N at most ``points``, and tell what the layers see."""
        weight = torch.from_numpy(t).view(-1, *[1] * self.start.ndim)
        with Watch(seen or (lambda *told: None)):
            return self.module((1 - weight) * self.start + weight * self.end).numpy()

    def outputs(self, t: np.ndarray) -> np.ndarray:
        """Return the outputs at t [N], any number of points."""
        return np.concatenate([self.at(part) for part in parts(t, self.points)])

    def choose_points(self) -> int:
        """Return the number of layers, and fit as many points into a pass as memory is for."""
        sizes: list[int] = []
        self.at(np.zeros(1), lambda number, pool, x: sizes.append(x.numel()))
        self.points = max(2, CHUNK // sum(sizes))
        return len(sizes)


def parts(rows: np.ndarray, size: int) -> Iterator[np.ndarray]:
    return (rows[first : first + size] for first in range(0, len(rows), size))


def worst_threshold(line: Line, trace: LineTrace, layer: np.ndarray, chosen: np.ndarray) -> float:
    """How far units are from their thresholds, of the root mean square of the layer's numbers.

    Of a window, how far its two largest numbers are from each other.
    """
    errors = [0.0]
    for rows in parts(chosen, line.points):

        def seen(number: int, pool: Pool | None, x: torch.Tensor, rows: np.ndarray = rows) -> None:
            mine = np.flatnonzero(layer[rows] == number)
            if len(mine):
                x, unit = x[mine], torch.from_numpy(trace.unit[rows[mine]])[:, None]
                size = x.flatten(1).square().mean(dim=1).sqrt()
                off = x.flatten(1).gather(1, unit)[:, 0] if pool is None else lead(pool, x, unit)
                errors.append(float((off.abs() / size).max()))

        line.at(trace.t[rows], seen)
    return max(errors)


def lead(pool: Pool, x: torch.Tensor, unit: torch.Tensor) -> torch.Tensor:
    """By how much a window's largest number leads: it is taken out, and the pooling done again."""
    largest, place = pool(x, return_indices=True)
    first, place = largest.flatten(1).gather(1, unit), place.flatten(1).gather(1, unit)
    channel = unit // largest[0, 0].numel()
    rest = x.flatten(1).scatter(1, channel * x[0, 0].numel() + place, -torch.inf).view_as(x)
    return (first - pool(rest).flatten(1).gather(1, unit))[:, 0]


def wrong_flips(line: Line, trace: LineTrace, layer: np.ndarray, run: np.ndarray) -> int:
    """Count breakpoints at which other units change than are named, and pieces in which any do.

    Pieces are looked at near both ends: who is affine and the same there is so between them.
    """
    named: list[set[tuple[int, int]]] = []
    bounds = [trace.knots[run[0]]]
    for row in run:
        if trace.t[row] - bounds[-1] > MERGED:
            bounds.append(trace.t[row])
            named.append(set())
        if named:
            named[-1] ^= {(int(layer[row]), int(trace.unit[row]))}
    bounds.append(trace.knots[run[-1] + 2])
    low, high = np.array(bounds[:-1]), np.array(bounds[1:])
    points = np.stack([0.9 * low + 0.1 * high, 0.1 * low + 0.9 * high], axis=1).ravel()
    found: list[set[tuple[int, int]]] = [set() for _ in points[1:]]
    for rows in parts(np.arange(len(points) - 1), line.points - 1):

        def seen(number: int, pool: Pool | None, x: torch.Tensor, rows: np.ndarray = rows) -> None:
            differ = new_winners(pool, x) if pool else (x[1:] > 0) != (x[:-1] > 0)
            for row, unit in differ.flatten(1).nonzero().tolist():
                found[rows[row]].add((number, unit))

        line.at(points[[*rows, rows[-1] + 1]], seen)
    return sum(map(bool, found[::2])) + sum(a != b for a, b in zip(found[1::2], named, strict=True))


def new_winners(pool: Pool, x: torch.Tensor) -> torch.Tensor:
    """Which windows have no winner in common at neighbouring points: [N - 1, C, h w]."""
    largest, place = (part.flatten(2) for part in pool(x, return_indices=True))
    x, least = x.flatten(2), largest - NOISE * float(x.abs().max())
    stays = x[1:].gather(2, place[:-1]) >= least[1:]
    return ~(stays | (x[:-1].gather(2, place[1:]) >= least[:-1]))


def worst_bend(line: Line, trace: LineTrace, run: np.ndarray) -> float:
    """How far the module's outputs in pieces are from those interpolated between its own."""
    bounds = trace.knots[run[0] : run[-1] + 3]
    ends, errors = line.outputs(bounds), [0.0]
    for part in (0.2, 0.5, 0.9):
        inside = line.outputs((1 - part) * bounds[:-1] + part * bounds[1:])
        errors.append(np.abs(inside - (1 - part) * ends[:-1] - part * ends[1:]).max())
    return max(errors) / np.abs(ends).max()


def network_of(args: argparse.Namespace) -> tuple[nn.Module, nn.Module]:
    """Return the normaliser, and the network that takes normalised images."""
    if not args.random_weights:
        normaliser, network = load_model(args.model, args.weights).module.children()
        return normaliser, network
    from torchvision.models import get_model

    torch.manual_seed(args.seed)
    network = get_model(args.model.removeprefix("torchvision:"), weights=None)
    module = imagenet_classifier(args.model, network, MEAN, STD, input_size=224).module
    normaliser, network = module.children()
    return normaliser, network


def line_of(args: argparse.Namespace, graph: Graph, start: torch.Tensor) -> tuple[Any, float]:
    """Return the line's end and length; shortened until few enough units differ at its ends."""
    direction = torch.randn(start.shape, generator=generator(args.seed, "line"), dtype=start.dtype)
    direction /= direction.norm()
    length = args.length
    while args.max_breakpoints:
        flips = count_flips(graph, start[None], (start + length * direction)[None])
        most = sum(int(count) for count in flips.values())
        if most <= 0.9 * args.max_breakpoints:
            break
        length *= 0.8 * args.max_breakpoints / most
    return start + length * direction, length


def peak_memory() -> float:
    """Return the most that the process held so far, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main(args: argparse.Namespace) -> int:
    normaliser, network = network_of(args)
    image = load_data(args.data, args.image + 1).images(args.image, args.image + 1)
    start = normaliser(image)[0].double()
    graph = read_graph(network, tuple(start.shape))
    end, length = line_of(args, graph, start)

    held, began = peak_memory(), time.monotonic()
    limit = args.max_breakpoints
    trace = trace_line(graph, start, end, max_breakpoints=limit, memory=args.memory)
    seconds = time.monotonic() - began
    per_layer = trace.crossings.values()
    print(f"{args.model}, image {args.image}, length {length:.3g}")
    print(
        f"{len(trace)} breakpoints in {seconds:.1f} s: {len(trace) / seconds:.3g} a second, "
        f"{torch.get_num_threads()} threads; {len(per_layer)} layers with {min(per_layer)} to "
        f"{max(per_layer)} each; peak memory {peak_memory():.2f} GiB, {held:.2f} before"
    )
    return check(Line(copy.deepcopy(network).double().eval(), start, end), trace, args.checked)


def check(line: Line, trace: LineTrace, checked: int) -> int:
    """Print a line for each property; return 1 if one does not hold."""
    if line.choose_points() != len(trace.crossings):
        sys.exit("expected a network that bends in ReLUs and max_pool2d alone; check another")
    names = {name: number for number, name in enumerate(trace.crossings)}
    layer = np.array([names[name] for name in trace.layer], dtype=int)
    runs = [np.arange(len(trace))]
    if checked < len(trace):
        size = max(1, checked // RUNS)
        first = np.linspace(0, len(trace) - size, RUNS).astype(int)
        runs = [np.arange(begin, begin + size) for begin in first]
    chosen = np.unique(np.concatenate(runs))
    some = chosen[:: max(1, len(chosen) // 200)]
    expected = line.outputs(trace.t[some])
    wrong = sum(wrong_flips(line, trace, layer, run) for run in runs if len(run))
    errors = {
        "numbers from their thresholds, of the layer's rms": worst_threshold(
            line, trace, layer, chosen
        ),
        "outputs between breakpoints from affine, of the largest": max(
            worst_bend(line, trace, run) for run in runs
        ),
        "outputs at breakpoints from the module's, of the largest": (
            np.abs(trace.outputs[some + 1] - expected).max() / np.abs(expected).max()
        ),
    }
    print(f"{len(chosen)} breakpoints checked: {wrong} where other units change than are named")
    for what, error in errors.items():
        print(f"  {what}: at most {error:.1e} (allowed {PRECISION:.0e})")
    return int(wrong > 0 or not max(errors.values()) <= PRECISION)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--weights")
    parser.add_argument("--random-weights", action="store_true", help="torchvision's, untrained")
    parser.add_argument("--data", required=True)
    parser.add_argument("--image", type=int, default=0)
    parser.add_argument("--length", type=float, default=0.3)
    parser.add_argument("--max-breakpoints", type=int, help="shorten the line to have fewer")
    parser.add_argument("--checked", type=int, default=2000)
    parser.add_argument("--memory", type=float, default=512, help="mebibytes")
    parser.add_argument("--seed", type=int, default=0)
    sys.exit(main(parser.parse_args()))
