"""Hold the closed forms of certified radii against draws from the balls and Gaussians themselves.

python tools/certificates/radii.py [--draws N] [--json FILE]

1. The overlap of two balls, by counting. 2. The radii at CIFAR-10's size. 3. Tightness: of
classifiers that are built to be lost as soon as possible, the average's label holds at 0.95 R and
is lost at 1.05 R. (For the Gaussian they are half-spaces. For the ball half-spaces are
lost last, not first, but on a line: its worst case is a crescent.)
"""

import argparse
import json
import math
from pathlib import Path
from typing import Any

import torch
from tight import Classifier, crescent, half_space

from bandlimiter.defence.certificates import ball_distance, ball_radius, certified_radius
from bandlimiter.sampling import Sampler, build_sampler
from bandlimiter.tensors import generator

RADIUS = 2.0


def offsets(sampler: Sampler, draws: int, dim: int, *name: str | int) -> torch.Tensor:
    rng = generator(0, "radii", sampler.name, dim, *name)
    return RADIUS * sampler.vectors(-(-draws // 6), dim, rng)[:draws]


def overlap(draws: int) -> list[dict[str, Any]]:
    rows = []
    for dim in (1, 2, 3, 10):
        points = offsets(build_sampler("ball"), draws, dim, "overlap")
        for part in (0.1, 0.5, 1.0, 1.8):
            distance = part * RADIUS
            moved = points.clone()
            moved[:, 0] -= distance
            counted = float((moved.norm(dim=1) > RADIUS).double().mean())
            stated = float(ball_distance(distance, RADIUS, dim))
            error = math.sqrt(max(stated * (1 - stated), 1 / draws) / draws)
            rows.append({"dim": dim, "distance": distance, "stated": stated, "counted": counted})
            rows[-1]["errors_off"] = (counted - stated) / error
            print(
                f"n = {dim:2}, d = {part} r: TV {stated:.5f}, counted {counted:.5f} "
                f"({rows[-1]['errors_off']:+.1f} standard errors)"
            )
    return rows


def worst(sampler: str, margin: float, dim: int, lost_at: float) -> Classifier:
    share = (1 + margin) / 2
    if sampler == "gaussian" or dim == 1:
        radius = float(certified_radius(sampler, margin, RADIUS, dim))
        return half_space(radius)
    return crescent(share, RADIUS, dim, lost_at)


def tightness(draws: int) -> list[dict[str, Any]]:
    rows = []
    for sampler in ("ball", "gaussian"):
        for dim in (1, 2, 3):
            points = offsets(build_sampler(sampler), draws, dim, "tightness")
            for margin in (0.2, 0.6, 0.9):
                radius = float(certified_radius(sampler, margin, RADIUS, dim))
                classifier = worst(sampler, margin, dim, 1.05 * radius)
                shares = []
                for part in (0.0, 0.95, 1.05):
                    centre = torch.zeros(dim, dtype=torch.float64)
                    centre[0] = part * radius
                    shares.append(float(classifier(points + centre).double().mean()))
                rows.append({"sampler": sampler, "dim": dim, "margin": margin, "radius": radius})
                rows[-1]["shares"] = shares
                print(
                    f"{sampler:8} n = {dim}, margin {margin}: R = {radius:.4f}; share of A at 0, "
                    f"0.95 R, 1.05 R: {', '.join(f'{share:.4f}' for share in shares)}"
                )
    return rows


def main() -> None:
    given = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    given.add_argument("--draws", type=int, default=2_000_000)
    given.add_argument("--json", type=Path)
    args = given.parse_args()
    numbers: dict[str, Any] = {"overlap": overlap(args.draws)}
    numbers["cifar"] = ball_radius([0.8, 0.98, 1.0], 6.0, 3072).tolist()
    print(
        "n = 3072, r = 6: R(0.9) = {:.4f}, R(0.99) = {:.4f}, R(1) = {:.4f}".format(
            *numbers["cifar"]
        )
    )
    numbers["tightness"] = tightness(args.draws)
    if args.json:
        args.json.write_text(json.dumps(numbers, indent=1) + "\n")


if __name__ == "__main__":
    main()
