"""Hold directions towards the closest region boundaries against random ones.

The paper tried both (section 3.2) and reports random ones only. This finds the smallest
perturbations of PGD for the first correctly classified images, once, and judges samplers on
them at equal cost: the defence rate on those within the budget, the clean accuracy, the time,
and the paired difference to random directions. Rows are kept as they come::

    python tools/boundary_study.py --model cifar-resnet20 --weights FILE --data npz:FILE \
        --out runs/boundary.json

Beside ``boundary.json`` lie ``boundary.rows.jsonl`` and ``boundary.safetensors``, the
adversarial images; with ``--adversarial`` another run takes these instead of searching again.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bandlimiter import PostAverage, load_data, load_model
from bandlimiter.attacks import AttackedModel, build_attack
from bandlimiter.data import ImageSet
from bandlimiter.evaluation import read_adversarial, write_adversarial
from bandlimiter.results.statistics import mcnemar, rate
from bandlimiter.sampling import BoundaryDirections, OrthogonalDirections, RandomDirections

BATCH = 25
REFERENCE = "random directions"
# Name -> the sampler for a model, and what is added to the seed. Another draw of the
# reference shows what chance alone does.
SAMPLERS: dict[str, tuple[Callable[[nn.Module], Any], int]] = {
    REFERENCE: (lambda model: RandomDirections(), 0),
    "another draw of them": (lambda model: RandomDirections(), 1),
    "orthogonal directions": (lambda model: OrthogonalDirections(), 0),
    "boundary, all units": (lambda model: BoundaryDirections(model, "all"), 0),
    "boundary, last layer": (lambda model: BoundaryDirections(model, "last"), 0),
    "boundary, weight norm": (lambda model: BoundaryDirections(model, "norm"), 0),
    "boundary, random units": (lambda model: BoundaryDirections(model, "random"), 0),
}
Row = dict[str, Any]


def correct_images(target: AttackedModel, data: ImageSet, count: int) -> ImageSet:
    """Return the first ``count`` images that the plain model gets right."""
    kept: list[int] = []
    for part in batches(data):
        right = target.predict(data.images(part.start, part.stop)) == data.labels[part]
        kept += (part.start + right.nonzero().flatten()).tolist()
        if len(kept) >= count:
            break
    return data.take(torch.tensor(kept[:count]))


def adversarial_images(
    target: AttackedModel, data: ImageSet, args: argparse.Namespace
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return an image for each of ``data`` and whether it is adversarial within the budget."""
    saved = args.adversarial and read_adversarial(args.adversarial)
    attack = saved or build_attack("pgd", "minimal")
    images, within = [], []
    for part in batches(data):
        x, y, names = data.images(part.start, part.stop), data.labels[part], data.ids[part].tolist()
        found = attack(target, x, y, epsilon=args.epsilon, ids=names, seed=args.seed)
        images.append(found.images)
        within.append(found.within)
        print(f"adversarial images: {part.stop} of {len(data)}", flush=True)
    if not saved:
        file = args.out.with_suffix(".safetensors")
        write_adversarial(file, torch.cat(images), data.ids, attack="pgd-minimal")
    return torch.cat(images), torch.cat(within)


def judge(
    defended: PostAverage, data: ImageSet, adversarial: torch.Tensor, within: torch.Tensor
) -> Iterator[Row]:
    """Yield a row for each image: whether the defended model is right, clean and attacked."""
    for part in batches(data):
        labels, attacked = data.labels[part], within[part]
        started = time.perf_counter()
        clean = defended.predict(data.images(part.start, part.stop)).labels == labels
        brought_back = torch.zeros_like(clean)
        if attacked.any():
            x = adversarial[part][attacked]
            brought_back[attacked] = defended.predict(x).labels == labels[attacked]
        seconds = (time.perf_counter() - started) / (len(labels) + int(attacked.sum()))
        for i in range(len(labels)):
            yield {
                "image": int(data.ids[part.start + i]),
                "clean_right": bool(clean[i]),
                "adversarial": bool(attacked[i]),
                "defended": bool(brought_back[i]),
                "seconds": seconds,
            }


def batches(data: ImageSet) -> list[slice]:
    return [slice(i, min(i + BATCH, len(data))) for i in range(0, len(data), BATCH)]


def summary(name: str, rows: list[Row], reference: list[Row]) -> Row:
    """Return a sampler's line of the table."""
    attacked = [row for row in rows if row["adversarial"]]
    defence = rate(sum(row["defended"] for row in attacked), len(attacked))
    clean = rate(sum(row["clean_right"] for row in rows), len(rows))
    line: Row = {
        "sampler": name,
        "defence_rate": defence.value,
        "defence_rate_interval": defence.interval,
        "clean_accuracy": clean.value,
        "clean_accuracy_interval": clean.interval,
        "seconds": sum(row["seconds"] for row in rows) / len(rows),
    }
    for what, column in (("attacked", "defended"), ("clean", "clean_right")):
        pairs = [(a[column], b[column]) for a, b in zip(rows, reference, strict=True)]
        won, lost = pairs.count((True, False)), pairs.count((False, True))
        line[what] = {"won": won, "lost": lost, "p": mcnemar(won, lost)}
    return line


def show(line: Row) -> None:
    def cell(name: str) -> str:
        if line[name] is None:
            return f"{'none':>21}"
        low, high = line[f"{name}_interval"]
        return f"{line[name]:.3f} ({low:.3f}, {high:.3f})"

    def paired(what: str) -> str:
        test = line[what]
        return f"+{test['won']:<3} -{test['lost']:<3} p = {test['p']:.3f}"

    print(
        f"{line['sampler']:<24}{cell('defence_rate')}  {paired('attacked')}   "
        f"{cell('clean_accuracy')}  {paired('clean')}   {line['seconds']:.2f} s",
        flush=True,
    )


def main(args: argparse.Namespace) -> None:
    classifier = load_model(args.model, args.weights)
    model = classifier.module.requires_grad_(False)
    target = AttackedModel(model)
    data = correct_images(target, load_data(args.data), args.limit)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    adversarial, within = adversarial_images(target, data, args)
    radius = args.radius or classifier.paper_radius
    print(
        f"{args.model}: {len(data)} images that it gets right, {int(within.sum())} adversarial "
        f"within the budget; r = {radius:g}, K = {args.directions}; images won and lost against "
        f"{REFERENCE}"
    )
    print(f"{'sampler':<24}{'defence rate':<45}{'clean accuracy':<46}an image", flush=True)
    settings = {name: getattr(args, name) for name in ("model", "directions", "epsilon", "seed")}
    document: Row = {"settings": settings | {"radius": radius}, "results": []}
    reference: list[Row] = []
    with args.out.with_suffix(".rows.jsonl").open("w") as kept:
        for name, (build, shift) in SAMPLERS.items():
            defended = PostAverage(
                model,
                radius,
                directions=args.directions,
                sampler=build(model),
                seed=args.seed + shift,
            )
            rows = []
            for row in judge(defended, data, adversarial, within):
                rows.append(row)
                print(json.dumps({"sampler": name, **row}), file=kept, flush=True)
            reference = reference or rows
            document["results"].append(summary(name, rows, reference))
            show(document["results"][-1])
            args.out.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="sample")
    parser.add_argument("--weights")
    parser.add_argument("--data", default="sample")
    parser.add_argument("--limit", type=int, default=200, help="images that the model gets right")
    parser.add_argument("--directions", type=int, default=15, help="K")
    parser.add_argument("--radius", type=float, help="default: the paper's for this model")
    parser.add_argument("--epsilon", type=float, default=8 / 255, help="L-inf, pixels")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--adversarial", type=Path, help="adversarial images of an earlier run")
    parser.add_argument("--out", type=Path, required=True, help="a JSON file")
    main(parser.parse_args())
