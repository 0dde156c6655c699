"""Does training under noise itself remove pieces, and high frequencies? A pair of image models.

The same short segments through a network and through the one that `harden` made of it: from each
image in a random direction, from it towards the next image, and in the random direction from a
noisy copy of it, where the average looks. Crossings are exact, and so are the spectra; lengths are
in the normalised input space, which both must share::

    python tools/tracing/hardened_pieces.py --plain sample --hardened sample-hardened \
        --data sample --out DIR
"""

import argparse
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from intervals import Estimate, geometric_ratio, mean, ratio_of_means
from ledger import Ledger, Row
from rich.console import Console
from rich.table import Table
from subjects import BATCH, directions, parser, run, unit
from torch import nn

from bandlimiter import load_data, load_model
from bandlimiter.attacks import AttackedModel
from bandlimiter.errors import ConfigurationError
from bandlimiter.geometry import LineTrace, read_graph, trace_line
from bandlimiter.geometry.graph import Graph
from bandlimiter.spectrum import line_kinks
from bandlimiter.tensors import generator
from bandlimiter.tensors.normalise import Normalise

MODELS = ("plain", "hardened")
SEGMENTS = ("random", "next image", "from noise")
BANDS = {"low": (0.0, 0.1), "middle": (0.1, 1.0), "high": (1.0, 10.0)}
"""By name: from and to, in waves per breakpoint of the plain network on the same segment."""

FREQUENCIES = 1500
SIGMA = 0.25
"""Of the noise, in pixels, where the hardened model has no card."""


class Pair(NamedTuple):
    """Two networks behind one normaliser, and images that both classify rightly.

    Attributes
    ----------
    graphs
        By model: what comes after the normaliser, in float64.
    normaliser
        In float64.
    sigma
        Of the noise that the hardened one was trained under, in pixels.
    pixels, ids
        [N, C, H, W] in [0, 1] and [N].
    """

    graphs: dict[str, Graph]
    normaliser: Normalise
    sigma: float
    pixels: torch.Tensor
    ids: list[int]


def load_pair(args: argparse.Namespace) -> Pair:
    """Load both models and the first ``limit`` images that both classify rightly."""
    plain, hardened = (load_model(name) for name in (args.plain, args.hardened))
    modules = [one.module.requires_grad_(False) for one in (plain, hardened)]
    for name, module in zip((args.plain, args.hardened), modules, strict=True):
        if not (isinstance(module, nn.Sequential) and isinstance(module[0], Normalise)):
            raise ConfigurationError(
                f"expected a model that begins with its normaliser, got {name}; name one of the "
                "library's own"
            )
    first, second = (module[0] for module in modules)
    if not (torch.equal(first.mean, second.mean) and torch.equal(first.std, second.std)):
        raise ConfigurationError(
            f"expected models with one normaliser, so that lengths are the same in both; "
            f"{args.plain} has std {first.std.flatten().tolist()}, {args.hardened} "
            f"{second.std.flatten().tolist()}"
        )
    pixels, ids = _rightly_classified(modules, args)
    graphs = {
        name: read_graph(module[1:], tuple(pixels.shape[1:]))
        for name, module in zip(MODELS, modules, strict=True)
    }
    normaliser = Normalise(first.mean.flatten().tolist(), first.std.flatten().tolist()).double()
    sigma = SIGMA if hardened.card is None else hardened.card.sigma
    return Pair(graphs, normaliser, sigma, pixels, ids)


def _rightly_classified(
    modules: list[nn.Module], args: argparse.Namespace
) -> tuple[torch.Tensor, list[int]]:
    data, targets = load_data(args.data), [AttackedModel(module) for module in modules]
    kept: list[torch.Tensor] = []
    ids: list[int] = []
    for start in range(0, len(data), BATCH):
        stop = min(start + BATCH, len(data))
        pixels, labels = data.images(start, stop), data.labels[start:stop]
        right = torch.stack([target.predict(pixels) == labels for target in targets]).all(dim=0)
        kept.append(pixels[right])
        ids += data.ids[start:stop][right].tolist()
        if len(ids) >= args.limit:
            return torch.cat(kept)[: args.limit], ids[: args.limit]
    raise ConfigurationError(
        f"expected {args.limit} images of {args.data} that both models classify rightly, got "
        f"{len(ids)}; ask for fewer"
    )


def segments(
    pair: Pair, i: int, length: float, seed: int
) -> Iterator[tuple[str, torch.Tensor, torch.Tensor]]:
    """Yield a name, a start and an end for each segment of the i-th image, normalised."""
    key, pixels = pair.ids[i], pair.pixels.double()
    image, following = pair.normaliser(pixels[[i, (i + 1) % len(pixels)]])
    random = length * directions(image, 1, seed, "segment", key)[0]
    towards = length * unit((following - image)[None])[0]
    draw = torch.randn(image.shape, generator=generator(seed, "noise", key), dtype=torch.float64)
    noisy = pair.normaliser((pixels[i] + pair.sigma * draw)[None])[0]
    places = ((image, random), (image, towards), (noisy, random))
    for name, (start, step) in zip(SEGMENTS, places, strict=True):
        yield name, start, start + step


def measure(pair: Pair, args: argparse.Namespace) -> list[Row]:
    """Return a row for each image: by segment and model, crossings, sizes and band powers."""

    def row(i: int) -> Row:
        found: Row = {}
        for name, start, end in segments(pair, i, args.length, args.seed):
            traces = {model: trace_line(pair.graphs[model], start, end) for model in MODELS}
            breakpoints = max(len(traces["plain"]), 1)
            found[name] = {
                model: {
                    "crossings": by_shape(trace),
                    "outputs": float(trace.outputs[0].std()),
                    "kinks": kinks_by_band(trace, 2 * np.pi * breakpoints / trace.length),
                }
                for model, trace in traces.items()
            }
        return found

    settings = {"plain": args.plain, "hardened": args.hardened, "data": args.data}
    settings |= {"length": args.length, "seed": args.seed, "images": len(pair.ids)}
    ledger = Ledger(args.out / "hardened_pieces.jsonl", settings)
    return ledger.fill(map(str, pair.ids), row, "images")


def by_shape(trace: LineTrace) -> dict[str, int]:
    """Count crossings by the shape of a layer's output: in a ResNet, by stage."""
    counts: dict[str, int] = {}
    for layer, count in trace.crossings.items():
        shape = " x ".join(map(str, trace.shapes[layer]))
        counts[shape] = counts.get(shape, 0) + count
    return counts


def kinks_by_band(trace: LineTrace, density: float) -> dict[str, float]:
    """Return the kinks' amplitude in each of `BANDS`: the root of their energy over outputs.

    ``density`` is the frequency of one wave per breakpoint.
    """
    waves = np.geomspace(2 * np.pi / trace.length, 10 * density, FREQUENCIES)
    power = (np.abs(line_kinks(trace, waves)) ** 2).sum(axis=1)
    energy = power * np.gradient(waves)
    return {
        band: float(np.sqrt(energy[(waves >= low * density) & (waves < high * density)].sum()))
        for band, (low, high) in BANDS.items()
    }


def summarise(rows: list[Row], length: float) -> dict[str, Any]:
    """Return, by segment and measure, the plain value and hardened over plain, both paired."""
    found: dict[str, Any] = {}
    for name in SEGMENTS:
        plain, hardened = ([row[name][model] for row in rows] for model in MODELS)
        shapes = list(plain[0]["crossings"])
        found[name] = {"crossings": _counted(plain, hardened, shapes, length)}
        for shape in shapes:
            found[name][f"crossings, {shape}"] = _counted(plain, hardened, [shape], length)
        sizes = [np.array([one["outputs"] for one in part]) for part in (plain, hardened)]
        found[name]["spread of the outputs"] = _compared(*sizes)
        for band in BANDS:
            parts = [np.array([one["kinks"][band] for one in part]) for part in (plain, hardened)]
            found[name][f"kinks, {band}"] = _compared(*parts)
        relative = [part / size for part, size in zip(parts, sizes, strict=True)]
        found[name]["kinks, high / spread"] = _compared(*relative)
    return found


def _counted(
    plain: list[Row], hardened: list[Row], shapes: list[str], length: float
) -> dict[str, Estimate]:
    """Compare counts by means: a short segment may cross nothing in a layer."""
    below, above = (
        np.array([sum(one["crossings"][shape] for shape in shapes) for one in part])
        for part in (plain, hardened)
    )
    return {"plain": mean(below / length), "ratio": ratio_of_means(above, below)}


def _compared(plain: np.ndarray, hardened: np.ndarray) -> dict[str, Estimate]:
    return {"plain": mean(plain), "ratio": geometric_ratio(hardened, plain)}


def show(console: Console, found: dict[str, Any], title: str) -> None:
    table = Table(title=title)
    table.add_column("")
    for name in SEGMENTS:
        table.add_column(f"{name}: plain", justify="right")
        table.add_column("hardened / plain", justify="right")
    for measured in found[SEGMENTS[0]]:
        cells = []
        for name in SEGMENTS:
            one = found[name][measured]
            # Bands go with each segment's own breakpoints, so that their sizes are not alike.
            plain = "" if "kinks" in measured else f"{one['plain'].value:,.4g}"
            cells += [plain, f"{one['ratio']:.2f}"]
        table.add_row(measured, *cells)
    console.print(table)


def sentence(found: dict[str, Any], args: argparse.Namespace) -> str:
    parts = [
        f"{name}, {found[name]['crossings']['ratio']:.2f}, "
        f"{found[name]['kinks, high']['ratio']:.2f} and "
        f"{found[name]['kinks, high / spread']['ratio']:.2f}"
        for name in SEGMENTS
    ]
    return (
        f"{args.hardened} has so many times the crossings of {args.plain}, kinks so many times as "
        "strong at high frequencies, and so many times for outputs of equal spread: "
        f"{'; '.join(parts)} ({args.limit} images)."
    )


def main(args: argparse.Namespace) -> None:
    console = Console(width=150)
    pair = load_pair(args)
    rows = measure(pair, args)
    found = summarise(rows, args.length)
    title = (
        f"segments of length {args.length:g}: crossings per unit of length, amplitudes [95 %, "
        f"bootstrap over {len(rows)} images]; noise of {pair.sigma:g} in pixels"
    )
    show(console, found, title)
    console.print(sentence(found, args), soft_wrap=True)
    settings = {"plain": args.plain, "hardened": args.hardened, "sigma": pair.sigma}
    document = {**settings, "length": args.length, "seed": args.seed, "segments": found}
    (args.out / "hardened_pieces.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    options = parser(__doc__, limit=10, model=False)
    options.add_argument("--plain", default="sample", help="as --model of bandlimiter evaluate")
    options.add_argument("--hardened", default="sample-hardened", help="a name or a folder")
    options.add_argument("--length", type=float, default=0.1, help="of each segment, normalised")
    run(main, options)
