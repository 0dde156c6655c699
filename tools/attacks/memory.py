"""Take a few APGD steps through a defence of the packaged ResNet-20, to be measured from outside.

A gradient holds one pass's activations, however many points are averaged; over several random
draws it holds their graphs together::

    python tools/peak_memory.py python tools/attacks/memory.py --images 16 --draws 8
"""

import argparse
import time

import torch

from bandlimiter import PostAverage, load_data, load_model
from bandlimiter.attacks import APGD, AttackedModel, AttackInput, Randomness


def main(args: argparse.Namespace) -> None:
    classifier = load_model("sample")
    model = classifier.module.requires_grad_(False)
    randomness = "fixed" if args.draws == 1 else "fresh"
    defended = PostAverage(
        model, classifier.paper_radius, directions=args.directions, randomness=randomness
    ).eval()
    data = load_data("sample", args.images)
    x, y = data.images(0, args.images), data.labels
    target = AttackedModel(defended, randomness=Randomness(draws=args.draws))
    started = time.perf_counter()
    attack = APGD(args.steps, leave=False)
    attack.run(AttackInput(target, x, y, 8 / 255, range(len(x)), 0))
    print(
        f"{len(x)} images, {defended.evaluations} points, {args.draws} draws, "
        f"{args.steps} steps and the start: {time.perf_counter() - started:.1f} s, "
        f"{torch.get_num_threads()} threads"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--directions", type=int, default=15)
    parser.add_argument("--draws", type=int, default=1, help="1: a fixed draw")
    parser.add_argument("--steps", type=int, default=1)
    main(parser.parse_args())
