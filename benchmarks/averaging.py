"""What a defended prediction costs: the ways to average, side by side on the same images.

OMP_NUM_THREADS=2 python benchmarks/averaging.py --threads 2 --model cifar-resnet56 \
    --weights FILE --data npz:FILE [--adversarial FILE ...]

1. Speed: a plain forward at its best batch size, the straightforward loop, ART's randomised
   smoothing and ours take turns; medians and ratios, with their least and largest.
2. Labels: every way on all images, against the straightforward loop in float32, and what early
   stopping spent; again on each file of adversarial images (``evaluate --save-adversarial``).
"""

import argparse
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from averaging_labels import compare, print_labels
from averaging_picture import draw
from averaging_ways import Setting, Way, build_ways, plain_rates
from safetensors.torch import load_file
from timing import begin, end, median, model_parser, ratios, take_turns
from torch.utils.flop_counter import FlopCounterMode

from bandlimiter import load_data, load_model

PLAIN, LOOP = "plain forward", "straightforward loop"


def options() -> argparse.Namespace:
    given = model_parser(__doc__ or "", limit=1000)
    given.add_argument("--adversarial", type=Path, action="append", default=[], metavar="FILE")
    given.add_argument("--adversarials", type=int, default=300, help="of each file (default 300)")
    given.add_argument("--turn", type=float, default=2.0, help="seconds a turn (default 2)")
    given.add_argument("--speed-only", action="store_true", help="leave out the labels")
    given.add_argument("--plot", type=Path, metavar="FILE", help="draw speeds and samples")
    return given.parse_args()


def matmul_peak(dtype: torch.dtype) -> float:
    """Return the most floating point operations a second seen in square matrix products."""
    best = 0.0
    for size in (1024, 2048, 4096):
        a = torch.randn(size, size).to(dtype)
        times = take_turns({"product": partial(torch.mm, a, a)}, 3)["product"]
        best = max(best, 2 * size**3 / min(times))
    return best


def flops(model: torch.nn.Module, x: torch.Tensor) -> int:
    """Return the floating point operations of one forward of one image."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(x[:1])
    return int(counter.get_total_flops())


def speed(
    ways: dict[str, Way], images: torch.Tensor, plain: dict[int, float], args: argparse.Namespace
) -> dict[str, Any]:
    """Let the ways take turns; each answers as many images as fill a turn."""
    best = max(plain, key=lambda size: plain[size])
    rate = plain[best]
    counts = {name: way.fitting(rate, args.turn, len(images)) for name, way in ways.items()}
    calls = {name: partial(way.answer, images[: counts[name]]) for name, way in ways.items()}
    times = take_turns(calls, args.rounds)
    each = {name: [t / counts[name] for t in times[name]] for name in times}
    print(f"\nplain float32 forwards: {best} images a pass are fastest")
    print(f"{'':30} {'images':>6} {'images/s':>9}   {'times the loop':22} plain forwards an answer")
    rows = {}
    for name in ways:
        gain, cost = ratios(each, name, LOOP), ratios(each, PLAIN, name)
        rows[name] = {
            "images": counts[name],
            "images_a_second": 1 / median(each[name]),
            "times_the_loop": gain,
            "plain_forwards": cost,
        }
        print(
            f"{name:30} {counts[name]:6} {1 / median(each[name]):9.1f}   "
            f"{f'{gain[0]:.2f} ({gain[1]:.2f} to {gain[2]:.2f})':22} "
            f"{cost[0]:.2f} ({cost[1]:.2f} to {cost[2]:.2f})"
        )
    return rows


def shares(
    rows: dict[str, Any], ways: dict[str, Way], operations: int, evaluations: int
) -> dict[str, float]:
    """Print which share of the machine's peak the full averages reach."""
    peaks = {dtype: matmul_peak(dtype) for dtype in (torch.float32, torch.bfloat16)}
    print(f"\n{operations / 1e9:.3f} GFLOP a forward; largest seen in matrix products:")
    for dtype, peak in peaks.items():
        print(f"  {str(dtype).removeprefix('torch.')}: {peak / 1e9:.0f} GFLOP/s")
    found = {}
    for name, way in ways.items():
        if way.evaluations == evaluations or name == PLAIN:
            done = rows[name]["images_a_second"] * way.evaluations * operations
            found[name] = done / peaks[way.dtype]
            print(f"  {name}: {done / 1e9:.0f} GFLOP/s, {found[name]:.2f} of it")
    return found


def image_sets(x: torch.Tensor, args: argparse.Namespace) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the clean images and those of each file of adversarial ones, with their names."""
    yield "clean", x
    for path in args.adversarial:
        yield path.stem, load_file(path)["images"][: args.adversarials]


def main() -> None:
    args = options()
    described = begin("adversarial-robustness-toolbox", threads=args.threads)
    classifier = load_model(args.model, args.weights)
    images = load_data(args.data, args.limit, size=classifier.input_size or 224)
    x = images.images(0, len(images))
    setting = Setting(classifier, x)
    print(
        f"{args.model}, r = {setting.radius:.4g}, {setting.evaluations} evaluations, "
        f"{len(x)} images"
    )

    plain = plain_rates(classifier.module, x)
    ways = build_ways(setting, x, batch=max(plain, key=lambda size: plain[size]))
    print(f"copies: {json.dumps(setting.copies)}")
    rows = speed(ways, x, plain, args)
    peak_shares = shares(rows, ways, flops(classifier.module, x), setting.evaluations)

    labels: dict[str, Any] = {}
    for name, points in () if args.speed_only else image_sets(x, args):
        labels[name] = compare(ways, points, LOOP)
        print_labels(name, labels[name])
    if args.plot:
        draw(args.plot, rows, labels, setting.evaluations)
    numbers = {"machine": described, "model": args.model, "plain": plain, "speed": rows}
    numbers["evaluations"] = setting.evaluations
    end(args.json, {**numbers, "shares_of_peak": peak_shares, "labels": labels})


if __name__ == "__main__":
    main()
