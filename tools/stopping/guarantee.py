"""How often stopping "anytime" announces another class than the full average's.

python tools/stopping/guarantee.py [--runs N] [--model NAME --weights FILE --data SPEC]

1. On populations made to mislead it, each in a random order. 2. On the scores of a real
network at all points of real images' neighbourhoods, each image's in many new orders. Counted
is every announcement, before the last point, of a class other than the full average's; the
theorem bounds its probability by alpha for each population. Intervals are Clopper and
Pearson's, 95 %; those over several images are of their mean, and that of the worst of them is
of the one that came out worst, so that it lies too high.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from populations import KINDS
from scipy.stats import binomtest

from bandlimiter import PostAverage, load_data, load_model
from bandlimiter.defence.stopping import AnytimeRule
from bandlimiter.tensors import generator

ALPHAS = (1e-3, 1e-2, 5e-2)
CPU = torch.device("cpu")


def announced(scores: torch.Tensor, alpha: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return when each run [R, N, C] is decided, and which class is announced: [R], [R]."""
    runs, points, classes = scores.shape
    rule = AnytimeRule(points, runs, classes, CPU, alpha=alpha)
    when = torch.full((runs,), points)
    label = torch.zeros(runs, dtype=torch.int64)
    open_ = torch.ones(runs, dtype=torch.bool)
    for point in range(points):
        rule.observe(scores[:, point])
        now = open_ & rule.decided()
        when[now], label[now] = point + 1, rule.leaders()[now]
        open_ &= ~now
    return when, label


def count(wrong: int, runs: int, alpha: float) -> dict[str, Any]:
    low, high = binomtest(wrong, runs).proportion_ci(method="exact")
    return {"alpha": alpha, "runs": runs, "wrong": wrong, "interval": [low, high]}


def line(name: str, row: dict[str, Any], samples: float) -> str:
    low, high = row["interval"]
    verdict = "at most alpha"
    if row["wrong"] > row["alpha"] * row["runs"]:
        verdict = "alpha is within the interval" if low <= row["alpha"] else "MORE THAN ALPHA"
    return (
        f"{name:22} {row['alpha']:6g} {row['runs']:9} {row['wrong']:6}  "
        f"{row['wrong'] / row['runs']:.1e} [{low:.1e}, {high:.1e}]  {verdict}; "
        f"{samples:.1f} samples"
    )


def simulate(runs: int, points: int) -> list[dict[str, Any]]:
    rows = []
    for name, make in KINDS.items():
        scores, best = make(runs, points, generator(0, "populations", name))
        for alpha in ALPHAS:
            when, label = announced(scores, alpha)
            wrong = int(((label != best) & (when < points)).sum())
            rows.append({"kind": name, **count(wrong, runs, alpha)})
            print(line(name, rows[-1], float(when.double().mean())), flush=True)
    return rows


@torch.no_grad()
def scores_of(defended: PostAverage, images: torch.Tensor) -> torch.Tensor:
    """Return the softmax scores at all points around each image: [M, N, C]."""
    rows = [defended.model(defended.neighbours(image)).softmax(dim=1) for image in images]
    return torch.stack(rows)


def permute(scores: torch.Tensor, orders: int) -> list[dict[str, Any]]:
    """Put each image's points into new orders; print all images, and the worst of them."""
    points = scores.shape[1]
    best = scores.double().mean(dim=1).argmax(dim=1)
    rows = []
    for alpha in ALPHAS:
        wrong, samples = [], 0.0
        for number, image in enumerate(scores):
            rng = generator(0, "permuted", number)
            order = torch.rand(orders, points, generator=rng).argsort(dim=1)
            when, label = announced(image[order], alpha)
            wrong.append(int(((label != best[number]) & (when < points)).sum()))
            samples += float(when.double().mean()) / len(scores)
        rows.append(
            {
                **count(sum(wrong), orders * len(scores), alpha),
                "by_image": wrong,
                "worst": max(wrong),
            }
        )
        print(line(f"{len(scores)} images", rows[-1], samples))
        worst = count(max(wrong), orders, alpha)
        print(line("  worst of them", worst, samples), flush=True)
    return rows


def main() -> None:
    given = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    given.add_argument("--runs", type=int, default=100_000, help="of each kind (default 100,000)")
    given.add_argument("--points", type=int, default=91)
    given.add_argument("--model", default="sample")
    given.add_argument("--weights", type=Path)
    given.add_argument("--data", default="sample")
    given.add_argument("--limit", type=int, default=200)
    given.add_argument("--orders", type=int, default=1000)
    given.add_argument("--json", type=Path)
    args = given.parse_args()
    print(f"{'kind':22} {'alpha':>6} {'runs':>9} {'wrong':>6}")
    numbers: dict[str, Any] = {"simulated": simulate(args.runs, args.points)}

    classifier = load_model(args.model, args.weights)
    images = load_data(args.data, args.limit, size=classifier.input_size or 224)
    defended = PostAverage(classifier.module, classifier.paper_radius or 6.0)
    scores = scores_of(defended, images.images(0, len(images)))
    numbers["permuted"] = permute(scores, args.orders)
    if args.json:
        args.json.write_text(json.dumps(numbers, indent=1) + "\n")


if __name__ == "__main__":
    main()
