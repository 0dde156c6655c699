"""Memory and time of a stream of defended predictions, against its length and against K.

OMP_NUM_THREADS=2 python benchmarks/averaging_memory.py [--threads 2] [--plot FILE]

The packaged ResNet-20 answers streams of CIFAR-size images in batches of 50. Each length has
a process of its own, whose peak resident memory is read at the end; images are made on the
way, so that the stream is nowhere held.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from averaging_picture import draw_growth
from timing import begin, end, median, parser, take_turns

from bandlimiter import PostAverage, load_data, load_model

LENGTHS = {"anytime": (500, 1000, 2000, 5000, 10_000), "exact": (500, 2000)}
DIRECTIONS = (5, 10, 15, 30, 60, 120)
BATCH = 50


def stream(count: int) -> Iterator[torch.Tensor]:
    """Yield ``count`` real images, mirrored and shifted so that no two are alike."""
    images = load_data("sample").images(0, 500)
    for start in range(0, count, BATCH):
        place, shift = start % 500, start // 500
        batch = images[place : place + BATCH].roll(shift // 2, dims=3)
        yield batch.flip(3) if shift % 2 else batch


def one(count: int, stop: str) -> None:
    """Answer a stream of ``count`` images; print seconds, samples and peak memory in KiB."""
    import resource
    import time

    defended = PostAverage(load_model("sample").module, 6)
    next(iter(defended.predict_stream(stream(BATCH), stop=stop)))
    started = time.perf_counter()
    samples = sum(
        int(part.samples.sum()) for part in defended.predict_stream(stream(count), stop=stop)
    )
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(seconds, samples, peak // (1024 if sys.platform == "darwin" else 1))


def lengths(stop: str) -> list[dict[str, Any]]:
    print(f"\nstop={stop}: {'images':>7} {'seconds':>8} {'samples':>8} {'peak MiB':>9}")
    rows = []
    for count in LENGTHS[stop]:
        command = [sys.executable, __file__, "--one", str(count), stop]
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603
        seconds, samples, peak = (float(word) for word in out.split())
        rows.append({"images": count, "seconds": seconds, "peak_mib": peak / 1024})
        print(f"{count:19} {seconds:8.1f} {samples / count:8.1f} {peak / 1024:9.0f}", flush=True)
    growth = rows[-1]["peak_mib"] / rows[0]["peak_mib"]
    each = [row["seconds"] / row["images"] for row in rows]
    first, last = rows[0]["images"], rows[-1]["images"]
    print(f"peak at {last} images is {growth:.3f} times that at {first}; ", end="")
    print(f"seconds an image between {min(each):.4f} and {max(each):.4f}")
    return rows


def directions(rounds: int) -> list[dict[str, Any]]:
    x = load_data("sample").images(0, 8)
    model = load_model("sample").module
    defences = {str(k): PostAverage(model, 6, directions=k) for k in DIRECTIONS}
    calls = {k: lambda d=d: d.predict(x) for k, d in defences.items()}
    times = take_turns(calls, rounds)
    print(f"\n{'K':>4} {'evaluations':>12} {'seconds an image':>17} {'ms an evaluation':>17}")
    rows = []
    for k in DIRECTIONS:
        seconds = median(times[str(k)]) / len(x)
        evaluations = 6 * k + 1
        rows.append({"directions": k, "evaluations": evaluations, "seconds": seconds})
        print(f"{k:4} {evaluations:12} {seconds:17.4f} {1e3 * seconds / evaluations:17.3f}")
    return rows


def main() -> None:
    given = parser(__doc__ or "")
    given.add_argument("--threads", type=int, default=2, help="as OMP_NUM_THREADS (default 2)")
    given.add_argument("--plot", type=Path, metavar="FILE", help="draw time and memory")
    args = given.parse_args()
    described = begin(threads=args.threads)
    numbers = {stop: lengths(stop) for stop in LENGTHS}
    by_directions = directions(args.rounds)
    if args.plot:
        draw_growth(args.plot, numbers, by_directions)
    end(args.json, {"machine": described, **numbers, "directions": by_directions})


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
        one(int(sys.argv[2]), sys.argv[3])
    else:
        main()
