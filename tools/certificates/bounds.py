"""How much of a true margin each lower bound leaves: betting, empirical Bernstein, Clopper-Pearson.

python tools/certificates/bounds.py [--runs N] [--samples T] [--alpha A]

The same draws for all. The label is class 0, which leads in all these laws; empirical Bernstein is
Maurer and Pontil's (2009, theorem 4), for each rival as betting is.
"""

import argparse
import math

import torch
from laws import LAWS, coin, spread

from bandlimiter.defence.certificates.evidence import EVIDENCE
from bandlimiter.tensors import generator

SHOWN = {
    "votes, 0.9": coin(0.9),
    "votes, 0.99": coin(0.99),
    "scores, nearly one": spread(0.98, 1.0),
    **{name: LAWS[name] for name in LAWS if "tie" not in name and "gains" not in name},
}


def empirical_bernstein(values: torch.Tensor, alpha: float) -> torch.Tensor:
    log, count = math.log(2 / alpha), values.shape[-1]
    deviation = (2 * values.var(dim=-1) * log / count).sqrt()
    return values.mean(dim=-1) - deviation - 7 * log / (3 * (count - 1))


def main() -> None:
    given = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    given.add_argument("--runs", type=int, default=200)
    given.add_argument("--samples", type=int, default=1000)
    given.add_argument("--selection", type=int, default=100)
    given.add_argument("--alpha", type=float, default=1e-3)
    args = given.parse_args()
    print(
        f"{args.runs} runs, {args.samples} samples, alpha {args.alpha}: mean bounds of the margin"
    )
    print(f"{'law':20} {'true':>7} {'betting':>8} {'Bernstein':>9} {'votes':>7}")
    scores, votes = EVIDENCE["softmax"], EVIDENCE["majority"]
    labels = torch.zeros(args.runs, dtype=torch.int64)
    for name, law in SHOWN.items():
        pilot = law.draw(args.runs, args.selection, generator(0, "bounds", name, "selection"))
        drawn = law.draw(args.runs, args.samples, generator(0, "bounds", name, "estimation"))
        stakes = scores.choose(pilot, args.samples, args.alpha).stakes
        gains = scores.gains(drawn, labels)
        betting = 2 * scores.bounds(gains, stakes, args.alpha).amin(dim=1) - 1
        bernstein = 2 * empirical_bernstein(gains, args.alpha).amin(dim=1) - 1
        line = f"{name:20} {law.means[0] - max(law.means[1:]):7.4f} {float(betting.mean()):8.4f}"
        line += f" {float(bernstein.mean()):9.4f}"
        if law.votes:
            counted = votes.bounds(votes.gains(drawn, labels), stakes, args.alpha)
            line += f" {float(2 * counted.mean() - 1):7.4f}"
        print(line)


if __name__ == "__main__":
    main()
