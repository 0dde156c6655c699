"""Regions a second: ours in float64 against regioncam, which is Rust, float32 and planar.

OMP_NUM_THREADS=1 python benchmarks/regions.py

Both get the same networks as PyTorch modules and must find the same number of regions on
[-1, 1]^2. Ours includes reading the module, and ends with vertices, patterns and the face
lists from which neighbours, volumes and maps follow; a column adds volumes and maps.
"""

import itertools
import math
import sys
from functools import partial
from typing import Any

import numpy as np
import regioncam
import torch
from timing import begin, end, median, parser, ratios, take_turns
from torch import nn

from bandlimiter.geometry import Regions, enumerate_regions

PLANAR = ((2, 64, 64, 64), (2, 32, 32, 32, 32))
SEEDS = (0, 1, 2)
HIGHER = ((3, 40, 40, 1), (4, 16, 16, 1))
GROWTH = [(2, *[width] * depth) for depth in (2, 3) for width in (16, 32, 64, 128)]


def network(widths: tuple[int, ...], seed: int) -> nn.Sequential:
    """Return PyTorch's own random initialisation, a ReLU after every layer of several units."""
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after)] + [nn.ReLU()] * (after > 1)
    return nn.Sequential(*layers)


def theirs(module: nn.Sequential) -> regioncam.Regioncam:
    camera = regioncam.Regioncam(size=1)
    camera.add(module)
    _ = camera.num_faces
    return camera


def ours(module: nn.Sequential) -> Regions:
    return enumerate_regions(module, -1, 1)


def ours_with_maps(module: nn.Sequential) -> Regions:
    regions = ours(module)
    _ = regions.volumes, regions.affine_maps
    return regions


def name(widths: tuple[int, ...]) -> str:
    return "-".join(map(str, widths))


def against_regioncam(rounds: int) -> list[dict[str, Any]]:
    print("\nregions a second, [-1, 1]^2; ratio: how many times faster ours is")
    print(f"{'network':>14} seed regions {'ours':>8} regioncam  ratio (least..largest)   with maps")
    rows = []
    for widths, seed in itertools.product(PLANAR, SEEDS):
        module = network(widths, seed)
        count, expected = len(ours(module)), theirs(module).num_faces
        if count != expected:
            sys.exit(f"{name(widths)}, seed {seed}: {count} regions, regioncam has {expected}")
        times = take_turns(
            {
                "ours": partial(ours, module),
                "regioncam": partial(theirs, module),
                "with maps": partial(ours_with_maps, module),
            },
            rounds,
        )
        rate = {key: count / median(value) for key, value in times.items()}
        middle, least, largest = ratios(times, "ours", "regioncam")
        spread = f"{middle:.2f} ({least:.2f}..{largest:.2f})"
        print(
            f"{name(widths):>14} {seed:>4} {count:>7} {rate['ours']:>8.0f} "
            f"{rate['regioncam']:>9.0f}  {spread:<24} {rate['with maps']:>8.0f}"
        )
        rows.append(
            {"network": name(widths), "seed": seed, "regions": count, "per_second": rate}
            | {"ratio": middle, "least": least, "largest": largest}
        )
    mean = math.exp(np.mean([math.log(row["ratio"]) for row in rows]))
    print(f"least ratio {min(row['ratio'] for row in rows):.2f}, geometric mean {mean:.2f}")
    return rows


def in_more_dimensions(rounds: int) -> list[dict[str, Any]]:
    print("\nthree and four inputs, [-1, 1]^n, seed 0")
    rows = []
    for widths in HIGHER:
        module = network(widths, 0)
        times = take_turns(
            {"alone": partial(ours, module), "with maps": partial(ours_with_maps, module)},
            rounds,
        )
        count = len(ours(module))
        seconds = {key: median(value) for key, value in times.items()}
        print(
            f"{name(widths):>14}: {count} regions in {seconds['alone']:.3f} s, "
            f"{count / seconds['alone']:.0f} a second; {seconds['with maps']:.3f} s with volumes "
            "and maps"
        )
        rows.append({"network": name(widths), "regions": count, "seconds": seconds})
    return rows


def growth(rounds: int) -> list[dict[str, Any]]:
    print("\ngrowth with regions times units (hyperplanes), seed 0")
    modules = {name(widths): network(widths, 0) for widths in GROWTH}
    calls = {key: partial(ours, module) for key, module in modules.items()}
    rows = []
    for (key, times), widths in zip(take_turns(calls, rounds).items(), GROWTH, strict=True):
        seconds, regions, units = median(times), len(ours(modules[key])), sum(widths[1:])
        each = seconds / (regions * units) * 1e9
        print(
            f"{key:>14}: {regions:>6} regions x {units:>3} units, {seconds * 1e3:>8.2f} ms, "
            f"{each:>6.1f} ns each, {seconds / regions * 1e6:.2f} us a region"
        )
        rows.append({"network": key, "regions": regions, "seconds": seconds, "ns": each})
    # Small networks measure the fixed cost of a call; the exponent is of those above it.
    large = [row for row in rows if row["regions"] > 500]
    work = [row["seconds"] / row["ns"] for row in large]
    power = np.polyfit(np.log(work), np.log([row["seconds"] for row in large]), 1)[0]
    print(f"time grows like (regions x units)^{power:.2f} over the {len(large)} larger ones")
    return rows


if __name__ == "__main__":
    options = parser(__doc__).parse_args()
    numbers: dict[str, Any] = {"machine": begin("regioncam")}
    numbers["regioncam"] = against_regioncam(options.rounds)
    numbers["higher"] = in_more_dimensions(options.rounds)
    numbers["growth"] = growth(options.rounds)
    end(options.json, numbers)
