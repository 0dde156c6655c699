"""How many samples sequential certificates take, beside hindsight and beside 100,000 fixed ones.

The packaged ResNet-20, its BatchNorm statistics recomputed under noise of sigma 0.06 on 2,000 of
the images from number 3,000 on; its accelerated copy is what is certified, at 0.03, 0.06, 0.09 and
0.12, on the first 2,000. Needs the CIFAR-10 test images (--data). Killed, the same command goes on.

    python tools/certificates/samples.py sequential --data cifar10_test.npz --out samples
    python tools/certificates/samples.py fixed --data cifar10_test.npz --out samples
    python tools/certificates/samples.py show --out samples
"""

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
from scipy.stats import beta, norm
from torch import nn

from bandlimiter import PostAverage, accelerate, certify, load_data, load_model
from bandlimiter.results.statistics import rate

SIGMA, AT, ALPHA, MOST, IMAGES, ADAPT = 0.06, (0.03, 0.06, 0.09, 0.12), 1e-3, 100_000, 2000, 2000
LONG = 10_000


def adapted(data: str) -> nn.Module:
    """The packaged network with BatchNorm statistics of noisy images, and no weight changed."""
    model = load_model("sample").module
    images = load_data(data)
    x = images.images(3000, 3000 + ADAPT)
    rng = torch.Generator().manual_seed(0)
    layers = [part for part in model.modules() if isinstance(part, nn.BatchNorm2d)]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the mean over all batches
        layer.train()
    with torch.no_grad():
        for batch in x.split(250):
            model(batch + SIGMA * torch.randn(batch.shape, generator=rng))
    return model.eval()


def rows_of(path: Path) -> list[dict]:
    whole = path.read_text().rpartition("\n")[0] if path.exists() else ""
    path.write_text(whole + "\n" if whole else "")
    return [json.loads(line) for line in whole.splitlines()]


def add(path: Path, rows: list[dict]) -> None:
    with path.open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def sequential(args: argparse.Namespace) -> None:
    path, images = args.out / "sequential.jsonl", load_data(args.data)
    model = adapted(args.data)
    fast = accelerate(model, probe=images.images(0, 128))
    defence = PostAverage(fast.model, sigma=SIGMA)
    for start in range(len(rows_of(path)), IMAGES, 40):
        part = range(start, min(start + 40, IMAGES))
        x, began = images.images(part.start, part.stop), time.perf_counter()
        found = certify(defence, x, at=AT, samples=MOST, alpha=ALPHA, keys=list(part))
        seconds = (time.perf_counter() - began) / len(part)
        labels = images.labels[part.start : part.stop].tolist()
        columns = (found.labels.tolist(), found.radius.tolist(), found.samples.tolist())
        opened = found.undecided.sum(dim=1).tolist()
        rows = zip(part, labels, *columns, opened, strict=True)
        names = ("image", "label", "found", "radius", "samples", "undecided")
        add(path, [{**dict(zip(names, row, strict=True)), "seconds": seconds} for row in rows])
        print(part.stop, round(seconds, 2), flush=True)


def fixed(args: argparse.Namespace) -> None:
    """Cohen et al.'s rule, with nothing of this package but the copy of the network."""
    path, images = args.out / "fixed.jsonl", load_data(args.data)
    known = rows_of(args.out / "sequential.jsonl")
    random = np.random.default_rng(0).choice(len(known), 100, replace=False).tolist()
    long = [row["image"] for row in known if row["samples"] > LONG]
    rest = [each for each in long if each not in random]
    fast = accelerate(adapted(args.data), probe=images.images(0, 128)).model
    done = {row["image"] for row in rows_of(path)}
    for image in [each for each in random + rest[: args.long] if each not in done]:
        rng, counts = torch.Generator().manual_seed(image), torch.zeros(10, dtype=torch.int64)
        x = images.images(image, image + 1)
        votes = []
        with torch.no_grad():
            for _ in range((100 + MOST) // 128 + 1):
                noisy = x + SIGMA * torch.randn(128, *x.shape[1:], generator=rng)
                votes.append(fast(noisy).argmax(dim=1))
        every = torch.cat(votes)
        counts = torch.bincount(every[:100], minlength=10)
        label = int(counts.argmax())
        won = int((every[100 : 100 + MOST] == label).sum())
        bound = float(beta.ppf(ALPHA, won, MOST - won + 1))
        radius = SIGMA * norm.ppf(bound) if bound > 0.5 else 0.0
        row = {"image": image, "label": int(images.labels[image]), "won": won, "radius": radius}
        row |= {"found": label if bound > 0.5 else -1, "random": image in random}
        add(path, [row])
        print(len(done) + 1, row, flush=True)
        done.add(image)


def hindsight(share: float, radii: list[float]) -> float:
    """About as many votes as any test needs that knows p beforehand, for all of the radii."""
    needed = 0.0
    for radius in radii:
        q = float(norm.cdf(radius / SIGMA))
        p = min(max(share, 1e-9), 1 - 1e-9)
        distance = p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
        needed = max(needed, min(MOST, math.log(1 / ALPHA) / max(distance, 1e-9)))
    return needed


def show(args: argparse.Namespace) -> None:
    rows, others = rows_of(args.out / "sequential.jsonl"), rows_of(args.out / "fixed.jsonl")
    spent = np.array([row["samples"] for row in rows])
    figures = [spent.mean(), np.median(spent), *np.quantile(spent, [0.9, 0.99])]
    print(f"{len(rows)} images; samples: mean, median, 90 %, 99 %:", *(f"{v:.0f}" for v in figures))
    print(
        f"fewer than {MOST + 100}: mean {(MOST + 100) / figures[0]:.1f} times, median "
        f"{(MOST + 100) / figures[1]:.0f} times; over {LONG}: {(spent > LONG).mean():.3f}, "
        f"undecided at the end: {np.mean([row['undecided'] > 0 for row in rows]):.4f}"
    )
    for at in (0.0, *AT):
        right = [row["found"] == row["label"] and row["radius"] >= at for row in rows]
        print(f"certified accuracy at {at:.2f}: {rate(sum(right), len(rows))}")
    ours = {row["image"]: row for row in rows}
    for title, some in (
        ("random", [r for r in others if r["random"]]),
        (f"over {LONG}", [r for r in others if ours[r["image"]]["samples"] > LONG]),
    ):
        if not some:
            continue
        needed = [hindsight(r["won"] / MOST, list(AT)) for r in some]
        mine = [ours[r["image"]]["samples"] for r in some]
        print(
            f"{title}, {len(some)} images: mean samples {np.mean(mine):.0f}, hindsight "
            f"{np.mean(needed):.0f}; median {np.median(mine):.0f}, {np.median(needed):.0f}"
        )
        for at in (0.0, *AT):
            pairs = [
                (
                    ours[r["image"]]["found"] == r["label"] and ours[r["image"]]["radius"] >= at,
                    r["found"] == r["label"] and r["radius"] >= at,
                )
                for r in some
            ]
            mine_right, fixed_right = (sum(column) for column in zip(*pairs, strict=True))
            print(
                f"  at {at:.2f}: sequential {mine_right}, fixed {fixed_right} of {len(some)}; only "
                f"one: {sum(a and not b for a, b in pairs)}, {sum(b and not a for a, b in pairs)}"
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("what", choices=["sequential", "fixed", "show"])
    parser.add_argument("--data", default="npz:cifar10_test.npz", help="as the command takes it")
    parser.add_argument("--out", type=Path, default=Path("samples"))
    parser.add_argument("--long", type=int, default=100, help="how many of the long ones to repeat")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    {"sequential": sequential, "fixed": fixed, "show": show}[given.what](given)
