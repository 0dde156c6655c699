"""What `certify` costs: its evaluations per second over the bare forward's best, and its memory.

OMP_NUM_THREADS=2 python benchmarks/certify.py --threads 2 [--model ... --weights FILE --data ...]

Of the float32 model and of its accelerated copy, each against itself: a bare forward at the best of
some batch sizes and `certify` on 64 images take turns. What was evaluated beyond a decision
counts as nothing. Then the peak memory of a process at 2,000 and at 50,000 samples for one image.
"""

import argparse
import resource
import subprocess
import sys
from functools import partial

import torch
from timing import begin, median, model_parser, ratios, take_turns
from torch import nn

from bandlimiter import PostAverage, accelerate, certify, load_data, load_model

SIGMA, AT, IMAGES, SAMPLES = 0.06, (0.03, 0.06, 0.09), 64, 1500
SIZES = (32, 64, 128)


def options() -> argparse.Namespace:
    given = model_parser(__doc__ or "", limit=IMAGES)
    given.add_argument("--memory", type=int, metavar="SAMPLES", help="only measure this process")
    return given.parse_args()


@torch.no_grad()
def forward(model: nn.Module, x: torch.Tensor, size: int) -> int:
    for batch in x.split(size):
        model(batch)
    return len(x)


def certified(model: nn.Module, x: torch.Tensor) -> int:
    defence = PostAverage(model, sigma=SIGMA)
    found = certify(defence, x, at=AT, samples=SAMPLES, keys=range(len(x)))
    return int(found.samples.sum())


def speed(name: str, model: nn.Module, x: torch.Tensor, rounds: int) -> None:
    bare = torch.cat([x] * 12)[:768]
    forwards = {f"{size} a pass": partial(forward, model, bare, size) for size in SIZES}
    times = take_turns(forwards, rounds)
    best = min(times, key=lambda way: median(times[way]))
    evaluations = certified(model, x)
    turns = take_turns({"forward": forwards[best], "certify": partial(certified, model, x)}, rounds)
    each = {
        "forward": [seconds / len(bare) for seconds in turns["forward"]],
        "certify": [seconds / evaluations for seconds in turns["certify"]],
    }
    share = ratios(each, "certify", "forward")
    rates = {way: 1 / median(seconds) for way, seconds in each.items()}
    print(
        f"{name}: bare forward {rates['forward']:.0f} per second ({best}), certify "
        f"{rates['certify']:.0f}: {share[0]:.2f} [{share[1]:.2f}, {share[2]:.2f}] of it"
    )


def memory(args: argparse.Namespace) -> None:
    model = load_model(args.model, args.weights).module
    x = load_data(args.data, 1).images(0, 1)
    defence = PostAverage(model, sigma=SIGMA)
    most = args.memory
    certify(defence, x, at=[1e-6, 0.15], samples=most, selection=32, give_up=0)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)


def main() -> None:
    args = options()
    if args.memory:
        memory(args)
        return
    begin(threads=args.threads)
    images = load_data(args.data, IMAGES).images(0, IMAGES)
    model = load_model(args.model, args.weights).module
    speed("float32 model", model, images, args.rounds)
    copy = accelerate(model, probe=images)
    speed(f"copy in {str(copy.dtype).removeprefix('torch.')}", copy.model, images, args.rounds)
    for samples in (2_000, 50_000):
        command = [sys.executable, *sys.argv, "--memory", str(samples)]
        said = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
        print(f"peak memory at {samples:,} samples: {said.stdout.split()[-1]} MiB")


if __name__ == "__main__":
    main()
