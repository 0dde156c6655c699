"""How often a certificate's margin is larger than the true one, on laws that are known.

python tools/certificates/guarantee.py [--runs N] [--samples T] [--selection S] [--json FILE]

Each run goes through all that `certify` does with a model's scores: it chooses its label on S
points, may give up early, and bounds the margin from T others. Counted is every bound, of a run
that was not given up, above the true margin of the label that this run chose: at most alpha of the
runs. Laws of votes are bounded both as votes and as scores.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from laws import LAWS, Law
from scipy.stats import binomtest

from bandlimiter.defence.certificates.evidence import EVIDENCE
from bandlimiter.defence.certificates.margins import BLOCK, Draw, Plan, find_margins
from bandlimiter.tensors import generator

ALPHAS = (1e-3, 1e-2, 1e-1)
TOGETHER = 2000


def source(law: Law, name: str, part: int, runs: int) -> Draw:
    def draw(rows: torch.Tensor, stage: str, block: int, count: int) -> torch.Tensor:
        rng = generator(0, "guarantee", name, part, stage, block)
        return law.draw(runs, BLOCK, rng)[rows, :count]

    return draw


def simulate(law: Law, name: str, evidence: str, runs: int, plan: Plan) -> dict[str, Any]:
    means = torch.tensor(law.means, dtype=torch.float64)
    top = means.topk(2).values
    margins = torch.where(means == top[0], means - top[1], means - top[0])
    wrong = given_up = positive = 0
    spent = 0.0
    for part, start in enumerate(range(0, runs, TOGETHER)):
        count = min(TOGETHER, runs - start)
        found = find_margins(
            source(law, name, part, count), torch.arange(count), EVIDENCE[evidence], plan
        )
        wrong += int((found.bounds > margins[found.labels]).sum())
        given_up += int((found.bounds == -1).sum())
        positive += int((found.bounds > 0).sum())
        spent += float(found.spent.double().sum())
    low, high = binomtest(wrong, runs).proportion_ci(method="exact")
    return {
        "law": name,
        "evidence": evidence,
        "alpha": plan.alpha,
        "runs": runs,
        "wrong": wrong,
        "interval": [low, high],
        "true_margin": float(margins.max()),
        "certified": positive,
        "given_up": given_up,
        "mean_samples": spent / runs,
    }


def line(row: dict[str, Any]) -> str:
    low, high = row["interval"]
    verdict = "at most alpha"
    if row["wrong"] > row["alpha"] * row["runs"]:
        verdict = "alpha is within the interval" if low <= row["alpha"] else "MORE THAN ALPHA"
    return (
        f"{row['law']:23} {row['evidence']:8} {row['alpha']:6g} {row['wrong']:6}  "
        f"[{low:.1e}, {high:.1e}] {row['certified']:7} {row['given_up']:7} "
        f"{row['mean_samples']:6.0f}  {verdict}"
    )


def main() -> None:
    given = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    given.add_argument("--runs", type=int, default=10_000, help="of each law (default 10,000)")
    given.add_argument("--samples", type=int, default=200)
    given.add_argument("--selection", type=int, default=50)
    given.add_argument("--json", type=Path)
    args = given.parse_args()
    print(f"{args.runs:,} runs each, {args.samples} samples, {args.selection} for the label")
    print(
        f"{'law':23} {'evidence':8} {'alpha':>6} {'wrong':>6}  {'95 % interval':18} "
        f"{'certif.':>7} {'gave up':>7} {'spent':>6}"
    )
    rows = []
    for name, law in LAWS.items():
        for evidence in ("softmax", "majority") if law.votes else ("softmax",):
            for alpha in ALPHAS:
                plan = Plan(args.samples, args.selection, alpha)
                rows.append(simulate(law, name, evidence, args.runs, plan))
                print(line(rows[-1]), flush=True)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n")
    if any(row["interval"][0] > row["alpha"] for row in rows):
        raise SystemExit("some bound is wrong more often than alpha")


if __name__ == "__main__":
    main()
