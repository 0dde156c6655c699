"""How many units flip on the way to an adversarial point, and to a random one as far away.

Counts units that differ between both ends, layer by layer, and traces a few of the lines
for all crossings on the way. The random direction is isotropic in normalised space, and the
random perturbation as long there as the adversarial one. A third one takes the adversarial
direction of another image at that length: is it the image's own attack that crosses more,
or any perturbation of that kind?::

    python tools/tracing/flips.py --model cifar-resnet56 --weights FILE --data npz:FILE --out DIR
"""

import argparse
import json
from typing import Any

import lines
import numpy as np
import torch
from intervals import mean, ratio_of_means
from ledger import Ledger, Row
from rich.console import Console
from rich.table import Table
from subjects import Subject, adversarial, directions, lengths, load_subject, parser, run, unit

from bandlimiter.geometry.tracing import count_flips

KINDS = ("adversarial", "random", "transferred")


def perturbations(subject: Subject, images: torch.Tensor, seed: int) -> dict[str, torch.Tensor]:
    """Return [N, ...] of each kind, in normalised units, of equal length image by image."""
    own = subject.points(images) - subject.points(subject.pixels)
    length = lengths(own).view(-1, 1, 1, 1)
    isotropic = [directions(own[0], 1, seed, "random", key) for key in subject.ids.tolist()]
    others = unit(own).roll(1, dims=0)
    return {
        "adversarial": own,
        "random": torch.cat(isotropic) * length,
        "transferred": others * length,
    }


def count(subject: Subject, images: torch.Tensor, args: argparse.Namespace) -> list[Row]:
    """Return a row for each image: lengths, and flips of each kind, layer by layer."""
    steps = perturbations(subject, images, args.seed)
    clean = subject.points(subject.pixels)
    pixels = (images.double() - subject.pixels.double()).flatten(1)

    def row(i: int) -> Row:
        start = clean[i : i + 1].expand(len(KINDS), *clean.shape[1:])
        ends = start + torch.stack([steps[kind][i] for kind in KINDS])
        flips = torch.stack(list(count_flips(subject.graph, start, ends).values()), dim=1)
        fooled = subject.graph(ends).argmax(dim=1) != subject.labels[i]
        return {
            "l2": float(steps["adversarial"][i].norm()),
            "l2_pixels": float(pixels[i].norm()),
            "linf_pixels": float(pixels[i].abs().amax()),
            "flips": dict(zip(KINDS, flips.tolist(), strict=True)),
            "fooled": dict(zip(KINDS, fooled.tolist(), strict=True)),
        }

    # A transferred direction depends on which images there are.
    settings = {"kinds": list(KINDS), "images": len(subject)}
    ledger = Ledger(args.out / f"flips-{len(subject)}.jsonl", settings)
    return ledger.fill(map(str, subject.ids.tolist()), row, "flips")


def summarise(subject: Subject, rows: list[Row]) -> dict[str, Any]:
    """Return estimates over images: for each layer, a layer on average, and in all."""
    layers = subject.graph.layers
    units = [torch.Size(layer.shape).numel() for layer in layers]
    flips = {kind: np.array([row["flips"][kind] for row in rows]) for kind in KINDS}
    adversarial_, random, others = (flips[kind] for kind in KINDS)
    return {
        "images": len(rows),
        "layers": [
            {
                "layer": layer.name,
                "units": units[i],
                **{kind: mean(flips[kind][:, i]) for kind in KINDS},
                "ratio": ratio_of_means(adversarial_[:, i], random[:, i]),
            }
            for i, layer in enumerate(layers)
        ],
        "a_layer": {kind: mean(flips[kind].mean(axis=1)) for kind in KINDS},
        "total": {kind: mean(flips[kind].sum(axis=1)) for kind in KINDS},
        "share_of_units": {kind: mean(flips[kind].sum(axis=1) / sum(units)) for kind in KINDS},
        "ratio_to_random": ratio_of_means(adversarial_.sum(axis=1), random.sum(axis=1)),
        "transferred_to_random": ratio_of_means(others.sum(axis=1), random.sum(axis=1)),
        "larger_than_random": float((adversarial_.sum(axis=1) > random.sum(axis=1)).mean()),
        "fooled": {kind: float(np.mean([row["fooled"][kind] for row in rows])) for kind in KINDS},
        **{key: mean([row[key] for row in rows]) for key in ("l2", "l2_pixels", "linf_pixels")},
    }


def show(console: Console, found: dict[str, Any]) -> None:
    table = Table(title="flips a layer: mean over images [95 %, bootstrap over images]")
    for heading in ("layer", "units", *KINDS, "adversarial / random"):
        table.add_column(heading, justify="left" if heading == "layer" else "right")
    for row in found["layers"]:
        cells = [f"{row[kind]:.1f}" for kind in KINDS]
        table.add_row(row["layer"], str(row["units"]), *cells, f"{row['ratio']:.2f}")
    table.add_section()
    for name, key, spec in (
        ("a layer", "a_layer", ".1f"),
        ("total", "total", ".0f"),
        ("share of units", "share_of_units", ".4f"),
    ):
        ratio = f"{found['ratio_to_random']:.2f}" if key == "total" else ""
        table.add_row(name, "", *(f"{found[key][kind]:{spec}}" for kind in KINDS), ratio)
    console.print(table)


def sentence(name: str, found: dict[str, Any]) -> str:
    total, a_layer = found["total"], found["a_layer"]
    return (
        f"{name}, {found['images']} images: a minimal adversarial perturbation (normalised length "
        f"{found['l2']:.2f}, in pixels {found['l2_pixels']:.3f}) flips "
        f"{a_layer['adversarial']:.0f} units a layer, {total['adversarial']:.0f} in all, and a "
        f"random one as long {a_layer['random']:.0f}, {total['random']:.0f} in all: "
        f"{found['ratio_to_random']:.2f} times as many (more for "
        f"{100 * found['larger_than_random']:.0f} % of the images); another image's adversarial "
        f"direction flips {found['transferred_to_random']:.2f} times as many as a random one and "
        f"fools on {100 * found['fooled']['transferred']:.0f} %."
    )


def main(args: argparse.Namespace) -> None:
    console = Console(width=150)
    subject = load_subject(args)
    images = adversarial(subject, "minimal", args.out, args.seed)
    rows = count(subject, images, args)
    found = summarise(subject, rows)
    show(console, found)
    console.print(sentence(args.model, found), soft_wrap=True)
    traced = lines.trace(subject, perturbations(subject, images, args.seed), args)
    if traced:
        lines.show(console, traced)
        console.print(lines.sentence(traced), soft_wrap=True)
    document = {"model": args.model, "seed": args.seed, **found, "lines": traced}
    (args.out / "flips.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    options = parser(__doc__, limit=200)
    options.add_argument("--lines", type=int, default=3, help="images whose lines are traced")
    run(main, options)
