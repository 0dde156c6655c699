"""What adaptive attacks lose, and save, by following a part of an average's points.

    python tools/attacks/parts.py --limit 48 [--model sample-hardened --sigma 0.25]

Both search in fast copies, in turns: along all points at every step, and along a part first
(`AttackedModel.share`). Smallest L-inf budgets are compared image by image; survivors of APGD at
budgets where some survive. Defence: the paper's average of radius 6, or with --sigma the Gaussian
one with the softmax vote.
"""

import argparse
import time

import torch

from bandlimiter import PostAverage, load_data, load_model
from bandlimiter.attacks import APGD, AttackedModel, Randomness
from bandlimiter.evaluation.adaptive import smallest_budget
from bandlimiter.evaluation.defence_under_test import DefenceUnderTest
from bandlimiter.evaluation.precision import make_copies, of_each_kind
from bandlimiter.results import paired_difference


def main(args: argparse.Namespace) -> None:
    model, data = load_model(args.model).module, load_data(args.data, args.limit)
    x, labels = data.images(0, len(data)), data.labels
    if args.sigma is None:
        defence = PostAverage(model, 6.0)
    else:
        defence = PostAverage(model, sigma=args.sigma, vote="softmax")
    copies = make_copies(model, x[:1])
    if copies is None:
        raise SystemExit("expected a model with a fast copy")
    kinds = of_each_kind(AttackedModel(model), x[:4], labels[:4], 8 / 255)
    fresh = args.sigma is not None
    ways = {}
    for points in ("all", "part"):
        ways[points] = DefenceUnderTest(
            *(points, defence, model, x[:1]),
            random=fresh,
            randomness=Randomness(args.draws, 3, 0.5),
            stop="exact",
            copies=copies,
            gradient_points=points,
        )
        ways[points].measure(kinds, 0.0)
    right = ways["all"].labels(x, range(len(x))) == labels
    x, labels = x[right], labels[right]
    print(f"{args.model}, sigma {args.sigma}: {len(x)} images, {torch.get_num_threads()} threads")

    searches = {"smallest": (smallest_budget(quick=False), 8 / 255)}
    searches |= {f"APGD {b:g}/255": (APGD(steps=args.steps), b / 255) for b in args.budget}
    for name, (attack, epsilon) in searches.items():
        found = {}
        for points in ways:
            target, began = ways[points].attacked(), time.perf_counter()
            result = attack(target, x, labels, epsilon=epsilon, ids=range(len(x)))
            seconds = time.perf_counter() - began
            found[points] = result
            spent = float(result.evaluations.double().mean())
            print(
                f"  {name}, {points}: {seconds:.1f} s, {spent:.0f} evaluations of the network per "
                f"image, {int((~result.within).sum())} of {len(x)} survive",
                flush=True,
            )
        both = found["all"].found & found["part"].found
        ratio = found["part"].linf[both] / found["all"].linf[both]
        if name == "smallest":
            quarters = ratio.quantile(torch.tensor([0.25, 0.5, 0.75]).to(ratio)).tolist()
            print(f"  part over all, image by image: quartiles {[round(q, 4) for q in quarters]}")
        else:
            kept = [~found[points].within for points in ("part", "all")]
            only = int((kept[0] & ~kept[1]).sum()), int((kept[1] & ~kept[0]).sum())
            value, low, high = paired_difference(*only, len(x))
            print(f"  more survive part: {value:+.3f} ({low:+.3f}, {high:+.3f})")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="sample")
    parser.add_argument("--data", default="sample", help="as the command takes it")
    parser.add_argument("--limit", type=int, default=48)
    parser.add_argument("--sigma", type=float)
    parser.add_argument("--draws", type=int, default=1, help="of a Gaussian average, per step")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--budget", type=float, action="append", help="in 255ths; repeat")
    given = parser.parse_args()
    given.budget = given.budget or [0.7, 1.0]
    main(given)
