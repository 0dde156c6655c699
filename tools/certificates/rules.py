"""How many votes a sequential test takes by several rules: why the mixture was chosen.

    python tools/certificates/rules.py [--runs 400] [--alpha 0.001] [--json FILE] [--quick]

All reject "p <= q" with a false alarm, ever, of probability at most alpha, on the same votes, each
looked at. Printed are mean samples, and how many times hindsight that is, log(1 / alpha) /
KL(p, q): about what any test needs that is told p.

mixture
    `log_capital`: likelihood ratios, mixed by the prior Beta(1/2, 1/2) for p, cut to [q, 1].
bets
    One likelihood ratio a vote, u / q if won and (1 - u) / (1 - q) if lost, with u the estimate
    (S + 1/2) / (t + 1) from the votes before, q at least: Kelly's bet as if it were p.
union
    After Voracek (NeurIPS 2024) as we read it: the randomised interval of Clopper and Pearson at
    the times ceil(10 * 1.1^k), k = 0, 1, ..., each at level alpha / ((k + 1) (k + 2)), which add up
    to alpha. Rejects where P(X > S) + U P(X = S) is at most the level, X being binomial under q and
    U uniform, drawn afresh.
"""

import argparse
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, rel_entr
from scipy.stats import binom

from bandlimiter.defence.certificates import log_capital

RADII, GAPS = (0.0, 0.5, 1.0, 1.5, 2.0), (0.1, 0.3, 0.6, 0.9, 1.0)
"""In sigmas; and where p lies between q and 1."""

LONGEST, REACH = 20_000, 8
"""Hindsight's samples beyond which a pair is left out, and how many times them are drawn."""

Bools = NDArray[np.bool_]


def hindsight(p: float, q: float, alpha: float) -> float:
    return math.log(1 / alpha) / float(rel_entr(p, q) + rel_entr(1 - p, 1 - q))


def stopped(rejected: Bools) -> NDArray[np.int64]:
    """Return after how many samples each run ended, [runs, T] -> [runs]: T where it did not."""
    last = rejected.shape[1]
    return np.where(rejected.any(axis=1), rejected.argmax(axis=1) + 1, last)


def mixture(won: Bools, q: float, alpha: float, rng: np.random.Generator) -> Bools:
    counts = won.cumsum(axis=1)
    times = np.arange(1, won.shape[1] + 1)
    low, high = np.full(len(times), -1), times + 1  # the capital grows with the votes
    while (high - low > 1).any():
        middle = (low + high) // 2
        reached = log_capital(middle, times - middle, q) >= math.log(1 / alpha)
        low, high = np.where(reached, low, middle), np.where(reached, middle, high)
    return counts >= high


def bets(won: Bools, q: float, alpha: float, rng: np.random.Generator) -> Bools:
    before = won.cumsum(axis=1) - won
    guess = np.maximum(q, (before + 0.5) / np.arange(1, won.shape[1] + 1))
    gained = np.where(won, np.log(guess / q), np.log1p(-guess) - math.log1p(-q))
    return gained.cumsum(axis=1) >= math.log(1 / alpha)


def union(won: Bools, q: float, alpha: float, rng: np.random.Generator) -> Bools:
    counts, most = won.cumsum(axis=1), won.shape[1]
    steps = range(math.ceil(math.log(max(most / 10, 1), 1.1)) + 1)
    rejected = np.zeros_like(won)
    for k in steps:
        time = math.ceil(10 * 1.1**k)
        if time <= most:
            seen = counts[:, time - 1]
            tail = binom.sf(seen, time, q) + rng.random(len(won)) * binom.pmf(seen, time, q)
            rejected[:, time - 1] = tail <= alpha / ((k + 1) * (k + 2))
    return rejected


RULES = {"mixture": mixture, "bets": bets, "union": union}


def compare(p: float, q: float, alpha: float, runs: int) -> dict[str, Any]:
    """Return the mean samples of each rule, and how many runs of each did not end."""
    needed = hindsight(p, q, alpha)
    rng = np.random.default_rng(0)
    samples: dict[str, list[NDArray[np.int64]]] = {name: [] for name in RULES}
    most = math.ceil(REACH * needed) + 300
    for _ in range(0, runs, 20):
        won = rng.random((20, most)) < p
        for name, rule in RULES.items():
            samples[name].append(stopped(rule(won, q, alpha, rng)))
    every = {name: np.concatenate(parts) for name, parts in samples.items()}
    return {
        "q": q,
        "p": p,
        "hindsight": needed,
        "mean": {name: float(spent.mean()) for name, spent in every.items()},
        "median": {name: float(np.median(spent)) for name, spent in every.items()},
        "open": {name: int((spent == most).sum()) for name, spent in every.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--alpha", type=float, default=1e-3)
    parser.add_argument("--quick", action="store_true", help="20 runs")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    print(f"alpha {args.alpha:g}; mean samples (times hindsight) of")
    print(f"{'q':>7} {'p':>7} {'hindsight':>9}  " + "  ".join(f"{name:>14}" for name in RULES))
    rows = []
    for q in ndtr(RADII).tolist():
        for p in [q + gap * (1 - q) for gap in GAPS]:
            if hindsight(p, q, args.alpha) > LONGEST:
                continue
            row = compare(p, q, args.alpha, 20 if args.quick else args.runs)
            rows.append(row)
            print(
                f"{q:7.4f} {p:7.4f} {row['hindsight']:9.1f}  "
                + "  ".join(
                    f"{mean:7.1f} ({mean / row['hindsight']:.2f})" for mean in row["mean"].values()
                )
                + (f"  not ended: {row['open']}" if any(row["open"].values()) else ""),
                flush=True,
            )
    for name in RULES:
        times = [row["mean"][name] / row["hindsight"] for row in rows]
        print(f"{name}: {min(times):.2f} to {max(times):.2f} times hindsight, {np.mean(times):.2f}")
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
