"""Transforms of simplices: ours, exact for any nodes, against the textbook formula in numpy.

OMP_NUM_THREADS=1 python benchmarks/transforms.py

One evaluation is one simplex at one frequency. The textbook formula is written twice (see
textbook.py): with sines and cosines as it stands, and with one tangent of half the angle.
Errors of both are against 600 digits, from the tests' reference values. At the end, time and
memory of a sum that is far larger than memory.
"""

import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from textbook import best_block, textbook_transform
from timing import begin, end, median, parser, ratios, take_turns
from torch import nn

from bandlimiter.geometry import enumerate_regions
from bandlimiter.spectrum import network_transform, simplex_transform
from bandlimiter.spectrum.network import regions_transform

Floats = NDArray[np.float64]

HERE = Path(__file__).parent
REFERENCES = HERE.parent / "tests/spectrum/references/simplex_transforms.npz"
LENGTHS = (10, 100, 1000)


def inputs(count: int, frequencies: int, dim: int, length: float) -> tuple[Floats, Floats, Floats]:
    """Return random simplices in the unit box, values, and frequencies of about that length."""
    rng = np.random.default_rng(0)
    waves = rng.standard_normal((frequencies, dim))
    waves *= (
        length
        * rng.uniform(0.9, 1.1, (frequencies, 1))
        / np.linalg.norm(waves, axis=1, keepdims=True)
    )
    return rng.random((count, dim + 1, dim)), rng.standard_normal((count, dim + 1)), waves


def ours(vertices: Floats, values: Floats, waves: Floats) -> NDArray[np.complex128]:
    return simplex_transform(vertices, values[..., None], waves)[:, 0]


def speed(rounds: int) -> list[dict[str, Any]]:
    count, frequencies = 4096, 32
    print(f"\nmillion evaluations a second, {count} simplices x {frequencies} frequencies;")
    print("ratio: how many times faster ours is (least..largest); gap: largest difference of the")
    print("textbook's sum from ours, in parts of the largest |F|")
    print("n  |w|   ours  textbook  ratio               half-angle  ratio               gap")
    rows = []
    for dim in (1, 2, 3, 4):
        blocks = {
            half: best_block(*inputs(count, frequencies, dim, 100), half_angle=half)
            for half in (False, True)
        }
        for length in LENGTHS:
            given = inputs(count, frequencies, dim, length)
            calls = {
                "ours": partial(ours, *given),
                "textbook": partial(textbook_transform, *given, blocks[False]),
                "half-angle": partial(textbook_transform, *given, blocks[True], half_angle=True),
            }
            times = take_turns(calls, rounds)
            results = {key: call() for key, call in calls.items()}
            gap = abs(results["textbook"] - results["ours"]).max() / abs(results["ours"]).max()
            row: dict[str, Any] = {"n": dim, "length": length, "gap": float(gap)}
            for key in calls:
                row[key] = count * frequencies / median(times[key]) / 1e6
            line = f"{dim} {length:>4} {row['ours']:>6.1f}"
            for key, width in (("textbook", 8), ("half-angle", 10)):
                row[f"ratio {key}"] = middle, least, largest = ratios(times, "ours", key)
                spread = f"{middle:.2f} ({least:.2f}..{largest:.2f})"
                line += f"  {row[key]:>{width}.1f}  {spread:<18}"
            print(f"{line}  {row['gap']:.0e}")
            rows.append(row)
    return rows


def errors() -> list[dict[str, Any]]:
    print("\nrelative error against 600 digits, where |F| exceeds 1e-3 of its largest term;")
    print("textbook: with sines and cosines; worst without those cases where it is not finite")
    print("n   |w|  cases   ours, worst  textbook: median    worst  over 1e-11  not finite")
    file = np.load(REFERENCES)
    rows = []
    for dim in (1, 2, 3, 4):
        for name, prefix in (("<1e3", ""), (" 1e4", "high_")):
            keys = ("vertices", "values", "frequency", "transform", "largest")
            vertices, values, waves, exact, largest = (file[f"{prefix}{k}_{dim}"] for k in keys)
            counts = abs(exact) > 1e-3 * largest
            found = {}
            for key, transform in (("ours", ours), ("textbook", textbook_transform)):
                with np.errstate(all="ignore"):
                    got = [
                        transform(vertices[i : i + 1], values[i : i + 1], waves[i : i + 1])[0]
                        for i in np.flatnonzero(counts)
                    ]
                    found[key] = abs(np.array(got) - exact[counts]) / abs(exact[counts])
            book = found["textbook"]
            finite = np.isfinite(book)
            row = {
                "n": dim,
                "length": name.strip(),
                "cases": int(counts.sum()),
                "ours": float(found["ours"].max()),
                "textbook median": float(np.median(np.where(finite, book, np.inf))),
                "textbook worst": float(book[finite].max()),
                "textbook over 1e-11": float(np.mean(~(book <= 1e-11))),
                "textbook not finite": int((~finite).sum()),
            }
            print(
                f"{dim}  {name}  {row['cases']:>5}  {row['ours']:>12.1e}"
                f"  {row['textbook median']:>16.1e} {row['textbook worst']:>8.0e}"
                f"  {row['textbook over 1e-11']:>9.0%}  {row['textbook not finite']:>10}"
            )
            rows.append(row)
    return rows


def of_network(rounds: int) -> dict[str, Any]:
    """Time a network's transform, whose simplices share their vertices."""
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1)
    )
    regions = enumerate_regions(module, -1, 1)
    count = len(regions.triangulation.simplices)
    print(
        f"\nnetwork_transform, 2-32-32-1: {len(regions)} regions, {count} simplices, "
        f"{len(regions.vertices)} vertices, 256 frequencies"
    )
    rows: dict[str, Any] = {"regions": len(regions), "simplices": count}
    for length in LENGTHS:
        waves = inputs(1, 256, 2, length)[2]
        times = take_turns(
            {
                "whole": partial(network_transform, module, waves, lower=-1, upper=1),
                "sums": partial(regions_transform, regions, waves),
            },
            rounds,
        )
        whole, sums = (count * 256 / median(times[key]) / 1e6 for key in ("whole", "sums"))
        print(
            f"|w| {length:>4}: {whole:.1f} million evaluations a second, {sums:.1f} with the "
            "regions at hand"
        )
        rows[str(length)] = {"whole": whole, "sums": sums}
    return rows


def growth(rounds: int) -> list[dict[str, Any]]:
    print("\ngrowth with simplices times frequencies, n = 2, |w| 100: ns an evaluation")
    sizes = [(count, number) for count in (1000, 10000, 100000) for number in (10, 100, 1000)]
    calls = {
        f"{count} x {number}": partial(ours, *inputs(count, number, 2, 100))
        for count, number in sizes
    }
    rows = []
    for (key, times), (count, number) in zip(
        take_turns(calls, min(rounds, 3)).items(), sizes, strict=True
    ):
        row = {"simplices": count, "frequencies": number, "seconds": median(times)}
        row["ns"] = row["seconds"] / (count * number) * 1e9
        print(f"{key:>13}: {row['seconds']:>8.3f} s, {row['ns']:>6.1f} ns")
        rows.append(row)
    work = [np.log(row["simplices"] * row["frequencies"]) for row in rows]
    power = np.polyfit(work, np.log([row["seconds"] for row in rows]), 1)[0]
    print(f"time grows like (simplices x frequencies)^{power:.2f}")
    return rows


def streamed(count: int, frequencies: int) -> str:
    """Run a large sum in a process of its own, whose memory is its alone."""
    command = [sys.executable, str(HERE / "streaming.py"), str(count), str(frequencies)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
    print("\n" + done.stdout.strip())
    return done.stdout.strip()


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--stream", action="store_true", help="the large sum: 1e6 x 1e3 (minutes)")
    chosen = options.parse_args()
    numbers: dict[str, Any] = {"machine": begin()}
    if chosen.stream:
        numbers["streamed"] = streamed(10**6, 1000)
    else:
        numbers["speed"] = speed(chosen.rounds)
        numbers["errors"] = errors()
        numbers["network"] = of_network(chosen.rounds)
        numbers["growth"] = growth(chosen.rounds)
        numbers["streamed"] = streamed(10**5, 100)
    end(chosen.json, numbers)
