"""Asks of eq. 4 whether the hyperplanes crossed predict the change of the output.

The paper: the change of a unit's output is proportional to N, the hyperplanes crossed, times
the product over layers of the mean absolute weight. In one network the product is constant,
so that N alone must predict. For each image and several lengths (times the minimal
adversarial distance), adversarial against random direction: N as flips, and for a few
images as exact crossings; the change of the logits and of the margin::

    python tools/tracing/equation4.py --model cifar-resnet20 --weights FILE --data npz:FILE \
        --out DIR
"""

import argparse
import json

import numpy as np
import torch
from equation4_summary import KINDS, SCALES, by_scale, exact, over_scales, sentence, show
from ledger import Ledger, Row
from rich.console import Console
from subjects import Subject, adversarial, directions, lengths, load_subject, parser, run
from torch import nn

from bandlimiter.geometry.tracing import count_flips, trace_line


def mean_weights(module: nn.Module) -> list[float]:
    """Return E|v| of each layer with a weight matrix or kernels."""
    layers = [part for part in module.modules() if isinstance(part, (nn.Linear, nn.Conv2d))]
    return [float(layer.weight.detach().double().abs().mean()) for layer in layers]


def margin(logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """Return how far the label's logit lies above the best other one: [N]."""
    others = logits.clone()
    others[:, label] = -torch.inf
    return logits[:, label] - others.amax(dim=1)


def measure(subject: Subject, images: torch.Tensor, args: argparse.Namespace) -> list[Row]:
    """Return a row for each image: N and the changes, by kind, at each scale."""
    clean = subject.points(subject.pixels)
    own = subject.points(images) - clean
    scales = torch.tensor(SCALES, dtype=torch.float64).view(-1, 1, 1, 1)

    def row(i: int) -> Row:
        isotropic = directions(clean[0], 1, args.seed, "random", int(subject.ids[i]))[0]
        step = {"adversarial": own[i], "random": isotropic * own[i].norm()}
        start = clean[i : i + 1]
        before = subject.graph(start)
        result: Row = {"length": float(own[i].norm())}
        for kind in KINDS:
            ends = start + scales * step[kind]
            flips = count_flips(subject.graph, start.expand_as(ends), ends)
            after, label = subject.graph(ends), subject.labels[i]
            result[kind] = {
                "flips": torch.stack(list(flips.values())).sum(dim=0).tolist(),
                "change": lengths(after - before).tolist(),
                "margin": (margin(after, label) - margin(before, label)).tolist(),
            }
            if i < args.exact:
                place = SCALES.index(1.0)
                result[kind]["crossings"] = len(trace_line(subject.graph, start[0], ends[place]))
        return result

    ledger = Ledger(args.out / "equation4.jsonl", {"scales": list(SCALES), "exact": args.exact})
    return ledger.fill(map(str, subject.ids.tolist()), row, "equation 4")


def main(args: argparse.Namespace) -> None:
    console = Console(width=200)
    subject = load_subject(args)
    images = adversarial(subject, "minimal", args.out, args.seed)
    rows = measure(subject, images, args)
    weights = mean_weights(subject.module)
    found = {
        "images": len(rows),
        "scales": by_scale(rows),
        "rank_over_scales": over_scales(rows),
        "exact": exact(rows),
        "mean_weights": weights,
        "product": float(np.prod(weights)),
    }
    show(console, found)
    console.print(
        f"the product of the {len(weights)} layers' mean |v| is {found['product']:.2e}, for all "
        "pairs alike"
    )
    console.print(sentence(args.model, found), soft_wrap=True)
    document = {"model": args.model, "seed": args.seed, **found}
    (args.out / "equation4.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    options = parser(__doc__, limit=200)
    options.add_argument("--exact", type=int, default=10, help="images traced exactly")
    run(main, options)
