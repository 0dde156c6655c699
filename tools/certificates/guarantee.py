"""How often a certificate is false, and how many giving up costs: simulated on known laws.

    python tools/certificates/guarantee.py [--runs 100000] [--json FILE] [--quick]

Each run chooses its label on 100 answers of the law, and tests six radii at once on up to 10,000
more, looked at after every 32, as `certify` does. A run is false if any radius is claimed whose
bar the label's true mean does not exceed. First nothing is given up; then, on the same draws,
at level 0.01: how many certificates are lost, and how many samples that takes. For votes the usual
procedure stands beside it (Cohen et al. 2019, with scipy alone): all 10,000 samples, the interval
of Clopper and Pearson, and any radius below sigma PhiInv of its end; false if that exceeds the true
radius. Intervals of the counts are Clopper and Pearson's too, 95 %.
"""

import argparse
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from laws import BARS, LAWS, RADII, Floats, Law
from numpy.typing import NDArray
from scipy.stats import beta, binomtest

from bandlimiter.defence.certificates import log_abstention, log_capital
from bandlimiter.defence.certificates.sequential import _BETS

ALPHAS, GIVE_UP, SELECTION, SAMPLES = (0.1, 0.01, 0.001), 0.01, 100, 10_000
LOOKS = np.minimum(np.arange(32, SAMPLES + 32, 32), SAMPLES)
NEVER = len(LOOKS)
TINY = 1e-12
"""A bar that is nearer to the true mean than this is the mean, but for rounding."""

Ids = NDArray[np.int64]


def fewest_won(alpha: float) -> Ids:
    """Return from how many votes on the capital is 1 / alpha: [radii, looks]; else more than all.

    It grows with the votes, as all bets are on winning.
    """
    low, high = np.full((2, len(BARS), NEVER), -1)
    high[:] = LOOKS + 1
    while (high - low > 1).any():
        middle = (low + high) // 2
        reached = log_capital(middle, LOOKS - middle, BARS[:, None]) >= math.log(1 / alpha)
        low, high = np.where(reached, low, middle), np.where(reached, middle, high)
    return high


def most_won(alpha: float) -> Ids:
    """Return up to how many votes the capital against is 1 / alpha: [radii, looks]; -1 for none."""
    low, high = np.full((2, len(BARS), NEVER), -1)
    high[:] = LOOKS + 1
    while (high - low > 1).any():
        middle = (low + high) // 2
        reached = log_abstention(middle, LOOKS - middle, BARS[:, None]) >= math.log(1 / alpha)
        low, high = np.where(reached, middle, low), np.where(reached, high, middle)
    return low


def first(reached: NDArray[np.bool_]) -> Ids:
    """Return the first look at which something is reached: [runs, looks] -> [runs]."""
    return np.where(reached.any(axis=1), reached.argmax(axis=1), NEVER)


def vote_times(won: Ids) -> tuple[list[Ids], Ids]:
    """Return when radii are certified, for each alpha, and given up, each [runs, radii].

    ``won`` [runs, looks] are the votes until then. The radii are looked at one by one.
    """
    sure = [np.stack([first(won >= row) for row in UP[a]], axis=1) for a in ALPHAS]
    return sure, np.stack([first(won <= row) for row in DOWN], axis=1)


def score_times(counts: Ids, answers: Floats, label: int) -> tuple[list[Ids], Ids]:
    """Return the same for scores: ``counts`` [runs, looks, K] of each of the law's answers."""
    own = answers[:, label : label + 1]
    gained = (1 + own - np.delete(answers, label, axis=1)) / 2
    bets, seen = np.array(_BETS), counts.astype(np.float64)
    sure: list[list[Ids]] = [[] for _ in ALPHAS]
    plain = []
    for bar in BARS:
        up = np.log1p(bets * (gained[:, :, None] / bar - 1))  # [K, runners_up, bets]
        down = np.log1p(bets * ((1 - gained[:, :, None]) / (1 - bar) - 1))
        with np.errstate(over="ignore"):
            capital, against = (
                np.exp(np.tensordot(seen, logs, axes=1)).mean(axis=3) for logs in (up, down)
            )
        for alpha, times in zip(ALPHAS, sure, strict=True):
            times.append(first(capital.min(axis=2) >= 1 / alpha))
        plain.append(first(against.max(axis=2) >= 1 / GIVE_UP))
    return [np.stack(times, axis=1) for times in sure], np.stack(plain, axis=1)


def decide(sure: Ids, plain: Ids) -> tuple[NDArray[np.bool_], NDArray[np.bool_], Ids]:
    """Return what is claimed without and with giving up, [runs, radii] each, and samples then."""
    held = np.maximum.accumulate(sure, axis=1)  # only after all smaller radii
    dropped = np.minimum.accumulate(plain, axis=1)  # with all larger ones
    end = np.minimum(held, dropped).max(axis=1)
    spent = LOOKS[np.minimum(end, NEVER - 1)] + SELECTION
    return held < NEVER, (held <= end[:, None]) & (held < NEVER), spent


def runs_of(law: Law, runs: int, rng: np.random.Generator) -> dict[str, Any]:
    """Return what happened in some runs: counts for each alpha."""
    pilot = rng.multinomial(SELECTION, law.chances, size=runs) @ law.answers
    labels, sizes = pilot.argmax(axis=1), np.diff(LOOKS, prepend=0)
    means = np.array([law.mean(label) for label in range(law.answers.shape[1])])[labels]
    if law.votes:
        won = rng.binomial(sizes, means[:, None], size=(runs, NEVER)).cumsum(axis=1)
        sure, plain = vote_times(won)
    else:
        counts = rng.multinomial(sizes, law.chances, size=(runs, NEVER)).cumsum(axis=1)
        sure, plain = [np.empty((runs, len(BARS)), dtype=np.int64) for _ in ALPHAS], None
        plain = sure[0].copy()
        for label in np.unique(labels):
            rows = labels == label
            some, plain[rows] = score_times(counts[rows], law.answers, int(label))
            for times, found in zip(sure, some, strict=True):
                times[rows] = found
    false = means[:, None] - TINY <= BARS
    found = {}
    for alpha, times in zip(ALPHAS, sure, strict=True):
        claimed, kept, spent = decide(times, plain)
        found[alpha] = np.array([(claimed & false).any(axis=1).sum(), (kept & false).any(1).sum(),
                                 claimed.sum(), kept.sum(), spent.sum(), 0])  # fmt: skip
        if law.votes:
            last = won[:, -1]
            bound = np.where(last > 0, beta.ppf(alpha, last, SAMPLES - last + 1), 0)
            found[alpha][5] = ((bound > means) & (bound > 0.5)).sum()
    return found


def study(law: Law, runs: int, seed: int) -> list[dict[str, Any]]:
    rng, size = np.random.default_rng((seed, runs)), 5000 if law.votes else 500
    parts = [runs_of(law, min(size, runs - at), rng) for at in range(0, runs, size)]
    rows = []
    for alpha in ALPHAS:
        false, kept_false, claimed, kept, spent, usual = sum(part[alpha] for part in parts).tolist()
        low, high = binomtest(false, runs).proportion_ci(method="exact")
        rows.append(
            {
                "law": law.name, "alpha": alpha, "runs": runs, "false": false,
                "interval": [low, high], "false_giving_up": kept_false, "certificates": claimed,
                "lost": claimed - kept, "samples": spent / runs,
                "usual_false": usual if law.votes else None,
            }
        )  # fmt: skip
    return rows


def line(row: dict[str, Any]) -> str:
    low, high = row["interval"]
    verdict = "MORE THAN ALPHA" if low > row["alpha"] else "at most alpha"
    usual = "-" if row["usual_false"] is None else f"{row['usual_false'] / row['runs']:.5f}"
    return (
        f"{row['law']:30} {row['alpha']:5g} {row['false']:6}  {row['false'] / row['runs']:.5f} "
        f"[{low:.5f}, {high:.5f}] {verdict:15} {row['false_giving_up']:5}  "
        f"{row['certificates']:6} {row['lost']:5}  {row['samples']:7.0f}  {usual}"
    )


UP, DOWN = {alpha: fewest_won(alpha) for alpha in ALPHAS}, most_won(GIVE_UP)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--quick", action="store_true", help="1,000 runs")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    runs = 1000 if args.quick else args.runs
    print(f"{runs} runs a law, radii {RADII} sigma at once, up to {SAMPLES} samples a run.")
    print(
        "law, alpha, false runs without giving up, their rate and its interval; with giving up: "
        "false runs,\ncertificates (of all radii) without it, those lost by it, mean samples; the "
        f"usual procedure's false rate at {SAMPLES + SELECTION} samples"
    )
    rows = []
    for number, law in enumerate(LAWS):
        for row in study(law, runs, number):
            rows.append(row)
            print(line(row), flush=True)
    worst = max(rows, key=lambda row: row["false"] / row["alpha"])
    print(
        f"most against its alpha: {worst['law']} at {worst['alpha']:g}, "
        f"{worst['false'] / runs / worst['alpha']:.2f} alpha; certificates lost by giving up: "
        f"{sum(row['lost'] for row in rows)} of {sum(row['certificates'] for row in rows)}"
    )
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
