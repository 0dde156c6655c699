"""What adaptive attacks leave of a defence, case by case; rows are kept as runs.

Each case is an `evaluate` of its own in ``OUT/CASE``. A case that has a result is left alone and
one that was cut off is done again (its rows move to ``CASE.unfinished``), so that the same command
goes on after an interruption::

    python tools/attacks/study.py --model cifar-resnet20 --weights FILE --data npz:FILE \
        --limit 100 --queries 2000 --out runs/adaptive/cifar-resnet20
    python tools/attacks/study.py ... --case square --case fresh

Cases: ``cascade`` (transfer, APGD, Square on what is left), ``apgd`` and ``square`` alone,
``large`` (64/255), ``fresh`` and its stages alone (draws of their own, 30 images), ``r3`` ``r6``
``r12`` (smallest budgets), ``baselines`` (the paper's protocol, whole budget and adaptive attacks,
beside other defences). ``tools/attacks/draw.py`` draws what they found.
"""

import argparse
import json
import shutil
import time
from pathlib import Path
from typing import Any

import torch

from bandlimiter import PostAverage, evaluate, load_data, load_model
from bandlimiter.data import ImageSet
from bandlimiter.evaluation import Adaptive
from bandlimiter.models import Classifier
from bandlimiter.tensors import resolve_device

CASES = (
    *("cascade", "apgd", "square", "large", "fresh", "fresh-apgd", "fresh-square"),
    *("r3", "r6", "r12", "baselines"),
)
FRESH = {"fresh": Adaptive().stages, "fresh-apgd": ("apgd",), "fresh-square": ("square",)}
BASELINES = ("one-neighbour", "gaussian", "ball", "bit-depth", "jpeg")


def options_of(case: str, args: argparse.Namespace) -> dict[str, Any]:
    """Return what a case changes: of the defence, of `Adaptive`, and of `evaluate`."""
    full = {"steps": args.steps, "queries": args.queries}
    if case == "cascade":
        return {"adaptive": full}
    if case == "apgd":
        return {"adaptive": {**full, "stages": ("apgd",)}}
    if case == "square":
        return {"adaptive": {**full, "stages": ("square",)}, "limit": args.square_limit}
    if case in FRESH:
        told = {**full, "stages": FRESH[case], "redraws": 10}
        return {"defence": {"randomness": "fresh"}, "adaptive": told, "limit": 30}
    if case == "large":
        return {"adaptive": full, "epsilon": 64 / 255}
    if case == "baselines":
        return {"adaptive": full, "threat": "both", "attacks": ["pgd"], "baselines": BASELINES}
    only = {"stages": ("apgd",), "steps": args.steps, "curve": True}
    return {"defence": {"radius": float(case[1:])}, "adaptive": only}


def run(case: str, classifier: Classifier, data: ImageSet, args: argparse.Namespace) -> None:
    """Run one case and print what it found."""
    chosen = options_of(case, args)
    folder = args.out / case
    if folder.exists():
        shutil.rmtree(folder.with_suffix(".unfinished"), ignore_errors=True)
        folder.rename(folder.with_suffix(".unfinished"))
    images = data.limited(chosen.get("limit", args.limit), None, 0)
    radius = chosen.get("defence", {}).get("radius", args.radius or classifier.paper_radius)
    randomness = chosen.get("defence", {}).get("randomness", "fixed")
    defence = PostAverage(classifier.module, radius, randomness=randomness).eval()
    defence.to(args.device)
    started = time.perf_counter()
    found = evaluate(
        classifier.module,
        defence,
        images,
        chosen.get("attacks", []),
        epsilon=chosen.get("epsilon", 8 / 255),
        threat=chosen.get("threat", "adaptive"),
        adaptive=Adaptive(**chosen["adaptive"]),
        baselines=chosen.get("baselines", ()),
        out=folder,
        settings={"model": classifier.name, "device": str(args.device)},
    )
    seconds = time.perf_counter() - started
    say(case, len(images), seconds, found.tables)


def say(case: str, images: int, seconds: float, tables: dict[str, Any]) -> None:
    """Print a case in a few lines."""
    print(f"\n{case}: {images} images, {seconds:.0f} s", flush=True)
    for line in tables["side_by_side"]:
        print("  ", {key: _rounded(value) for key, value in line.items()})
    for result in tables["results"]:
        if result["stages"]:
            seeds = result["other_seeds"]
            print("  ", result["attack"], result["stages"], "other seeds", seeds and seeds["mean"])
    for name, budget in (tables["smallest_budgets"] or {}).items():
        ends = [end and round(255 * end, 3) for end in budget["median_interval"] or []]
        median = budget["median"] and round(255 * budget["median"], 3)
        print(f"   smallest budget, {name}: median {median}/255 {ends}")
    for warning in tables["warnings"]:
        print("   warning", json.dumps(warning))
    print("  ", tables["verdict"], flush=True)


def _rounded(value: Any) -> Any:
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return round(value, 3) if isinstance(value, float) else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="sample")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--data", default="sample")
    parser.add_argument("--limit", type=int, default=100)
    parser.add_argument("--square-limit", type=int, default=100, help="images of the case square")
    parser.add_argument("--radius", type=float, help="default: the paper's")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--case", choices=CASES, action="append")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.device = resolve_device(args.device)
    classifier = load_model(args.model, args.weights)
    classifier.module.to(args.device).requires_grad_(False)
    data = load_data(args.data)
    device = torch.cuda.get_device_name() if args.device.type == "cuda" else "CPU"
    print(f"{args.model} on {device}, torch {torch.__version__}")
    for case in args.case or CASES:
        if not (args.out / case / "result.json").exists():
            run(case, classifier, data, args)


if __name__ == "__main__":
    main()
