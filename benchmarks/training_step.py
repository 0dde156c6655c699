"""What a step of `harden` costs by memory layout, compiled or not: noisy images per second.

OMP_NUM_THREADS=2 python benchmarks/training_step.py --threads 2 [--model ... --weights FILE]

Steps of the consistency recipe (two noisy copies of each image), batch 128; the ways take turns.
"""

import argparse
from functools import partial

import torch
from timing import begin, median, model_parser, ratios, take_turns

from bandlimiter import load_data, load_model
from bandlimiter.hardening import RECIPES
from bandlimiter.hardening.training import Settings, Training

BATCH, STEPS = 128, 2
WAYS = {
    "contiguous": (torch.contiguous_format, False),
    "channels-last": (torch.channels_last, False),
    "channels-last, compiled": (torch.channels_last, True),
}


def training(args: argparse.Namespace, layout: torch.memory_format, compiled: bool) -> Training:
    model = load_model(args.model, args.weights).module.to(memory_format=layout)
    return Training(
        model, Settings(0.25, RECIPES["consistency"], "all", 10**6, 0.01, True, compiled, 0)
    )


def steps(run: Training, x: torch.Tensor, y: torch.Tensor) -> int:
    for _ in range(STEPS):
        run.step(x, y)
    return STEPS


def main() -> None:
    args = model_parser(__doc__ or "", limit=BATCH).parse_args()
    begin(threads=args.threads)
    images = load_data(args.data, BATCH)
    x, y = images.images(0, BATCH), images.labels
    ways = {
        name: partial(steps, training(args, layout, compiled), x, y)
        for name, (layout, compiled) in WAYS.items()
    }
    times = take_turns(ways, args.rounds)
    points = 2 * STEPS * len(x)
    for name, seconds in times.items():
        middle, least, most = ratios(times, name, "contiguous")
        print(
            f"{name}: {points / median(seconds):.0f} per second, {middle:.2f} [{least:.2f}, "
            f"{most:.2f}] times contiguous"
        )


if __name__ == "__main__":
    main()
