"""Asks of eq. 4 whether it follows what L1 and L2 regularisation do to a network.

Perceptrons 2-32-32-32-2 on two moons, trained with a penalty on their weights. For each:
N, the mean number of hyperplanes that a fixed set of short segments crosses (exact); the
product over layers of the mean absolute weight; and the mean change of the logits
between the segments' ends, which N times the product should follow::

    python tools/tracing/equation4_regularised.py --out DIR
"""

import argparse
import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from equation4 import mean_weights
from intervals import mean, rank_correlation
from ledger import Ledger, Row
from rich.console import Console
from rich.table import Table
from subjects import directions, lengths, run
from torch import nn

from bandlimiter.data import load_planar
from bandlimiter.geometry.graph import read_graph
from bandlimiter.geometry.tracing import trace_line
from bandlimiter.models import build_perceptron
from bandlimiter.tensors import generator

STRENGTHS = {
    "none": (0.0,),
    "L1": (1e-5, 1e-4, 3e-4, 1e-3, 3e-3),
    "L2": (1e-4, 1e-3, 3e-3, 1e-2, 3e-2),
}
LEARNING_RATE = 0.01
TEST_SEED = 1000
"""Of test points: far from the seeds of training."""


def train(network: nn.Sequential, penalty: str, strength: float, seed: int, epochs: int) -> None:
    """Adam on all points at once, as `train_perceptron`, with a penalty on the weights."""
    planar = load_planar("moons", seed=seed)
    x, y = torch.from_numpy(planar.points), torch.from_numpy(planar.labels)
    weights = [part.weight for part in network if isinstance(part, nn.Linear)]
    optimiser = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    for _ in range(epochs):
        optimiser.zero_grad()
        loss = F.cross_entropy(network(x), y)
        for weight in weights:
            loss = loss + strength * (weight.abs() if penalty == "L1" else weight**2).sum()
        loss.backward()
        optimiser.step()
    network.requires_grad_(False)


def segments(count: int, length: float, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return both ends [count, 2] of segments with uniform starts in the square."""
    draw = generator(seed, "starts")
    start = 2 * torch.rand(count, 2, generator=draw, dtype=torch.float64) - 1
    return start, start + length * directions(start[0], count, seed, "segments")


def measure(penalty: str, strength: float, seed: int, args: argparse.Namespace) -> Row:
    network = build_perceptron((2, *args.widths, 2), seed=seed, dtype=torch.float64)
    train(network, penalty, strength, seed, args.epochs)
    test = load_planar("moons", points=2000, seed=TEST_SEED + seed)
    answers = network(torch.from_numpy(test.points)).argmax(dim=1)
    graph = read_graph(network, (2,))
    start, end = segments(args.limit, args.length, args.seed)
    crossed = [len(trace_line(graph, a, b)) for a, b in zip(start, end, strict=True)]
    weights, change = mean_weights(network), lengths(network(end) - network(start))
    uncrossed = torch.tensor(crossed) == 0
    return {
        "penalty": penalty,
        "strength": strength,
        "seed": seed,
        "accuracy": float((answers == torch.from_numpy(test.labels)).double().mean()),
        "crossings": float(np.mean(crossed)),
        "product": float(np.prod(weights)),
        "mean_weights": weights,
        "change": float(change.mean()),
        # Equation 4 says none on segments that cross nothing.
        "uncrossed": float(uncrossed.double().mean()),
        "change_uncrossed": float(change[uncrossed].mean()) if uncrossed.any() else None,
    }


def summarise(rows: list[Row]) -> dict[str, Any]:
    groups = []
    for penalty, strengths in STRENGTHS.items():
        for strength in strengths:
            part = [r for r in rows if (r["penalty"], r["strength"]) == (penalty, strength)]
            keys = ("accuracy", "crossings", "product", "change", "uncrossed")
            predicted = mean([row["crossings"] * row["product"] for row in part])
            groups.append(
                {
                    "penalty": penalty,
                    "strength": strength,
                    **{key: mean([row[key] for row in part]) for key in keys},
                    "predicted": predicted,
                    "change_uncrossed": mean(
                        [r["change_uncrossed"] for r in part if r["change_uncrossed"] is not None]
                        or [np.nan]
                    ),
                }
            )
    ranks = {}
    for penalty in ("L1", "L2", "all"):
        part = [row for row in rows if penalty == "all" or row["penalty"] in ("none", penalty)]
        change = [row["change"] for row in part]
        predictors = {
            "N x product": [row["crossings"] * row["product"] for row in part],
            "N": [row["crossings"] for row in part],
            "product": [row["product"] for row in part],
        }
        ranks[penalty] = {
            name: rank_correlation(values, change) for name, values in predictors.items()
        }
    some = [row for row in rows if row["change_uncrossed"] is not None and row["change"] > 0]
    uncrossed = mean([row["change_uncrossed"] / row["change"] for row in some])
    return {"networks": len(rows), "groups": groups, "ranks": ranks, "uncrossed": uncrossed}


def show(console: Console, found: dict[str, Any]) -> None:
    table = Table(
        title="mean over seeds [95 %, bootstrap over seeds]; constant: change / (N x product)"
    )
    headings = ("accuracy", "N a segment", "product", "N x product", "|change|")
    for heading in ("penalty", "strength", *headings, "constant", "|change|, N = 0"):
        table.add_column(heading, justify="right")
    for row in found["groups"]:
        predicted = row["predicted"].value
        constant = row["change"].value / predicted if predicted else float("nan")
        table.add_row(
            row["penalty"],
            f"{row['strength']:g}",
            f"{row['accuracy']:.3f}",
            f"{row['crossings']:.2f}",
            f"{row['product']:.1e}",
            f"{row['predicted']:.1e}",
            f"{row['change']:.2f}",
            f"{constant:.3g}",
            f"{row['change_uncrossed']:.2f} ({100 * row['uncrossed'].value:.0f} %)",
        )
    console.print(table)
    for penalty, ranks in found["ranks"].items():
        cells = "; ".join(f"{name} {estimate:.2f}" for name, estimate in ranks.items())
        console.print(f"rank correlation with the change, {penalty}: {cells}")


def sentence(found: dict[str, Any]) -> str:
    usable = [row for row in found["groups"] if row["predicted"].value > 0]
    constants = [row["change"].value / row["predicted"].value for row in usable]
    ranks = found["ranks"]["all"]
    return (
        f"{found['networks']} perceptrons: N x product ranks the networks' changes with "
        f"{ranks['N x product']:.2f} (N alone {ranks['N']:.2f}, the product alone "
        f"{ranks['product']:.2f}); change / (N x product), which should be one constant, runs from "
        f"{min(constants):.3g} to {max(constants):.3g} over the strengths; and segments that cross "
        f"nothing, for which it says 0, change the logits {found['uncrossed']:.2f} times as much "
        "as all do."
    )


def main(args: argparse.Namespace) -> None:
    console = Console(width=190)
    settings = {key: getattr(args, key) for key in ("limit", "length", "epochs", "widths", "seed")}
    ledger = Ledger(args.out / "equation4_regularised.jsonl", settings)
    cases = [
        (penalty, strength, seed)
        for penalty, strengths in STRENGTHS.items()
        for strength, seed in product(strengths, range(args.seeds))
    ]
    keys = [f"{penalty} {strength:g} {seed}" for penalty, strength, seed in cases]
    rows = ledger.fill(keys, lambda i: measure(*cases[i], args), "networks")
    found = summarise(rows)
    show(console, found)
    console.print(sentence(found), soft_wrap=True)
    document = {**settings, **found}
    (args.out / "equation4_regularised.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--widths", type=int, nargs="+", default=[32, 32, 32])
    options.add_argument("--epochs", type=int, default=500)
    options.add_argument("--seeds", type=int, default=10, help="networks of each strength")
    options.add_argument("--limit", type=int, default=300, help="segments")
    options.add_argument("--length", type=float, default=0.2, help="of a segment")
    options.add_argument("--seed", type=int, default=0, help="of the segments")
    options.add_argument("--out", type=Path, required=True, help="a folder; a stopped run goes on")
    run(main, options)
