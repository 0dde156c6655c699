"""Certificates beside the truth: networks of two inputs, whose averaged votes are known exactly.

    python tools/certificates/truth.py [--networks 20] [--points 50] [--samples 10000]
        [--figure docs/certified_truth.png] [--json FILE] [--quick]

Networks of 2 x 16 units, trained on moons, circles and blobs; half of the points are of the set,
drawn anew, half anywhere in the square. For each, by integration over the polygons of the labels:
p_A, and how far the label of the averaged votes holds. Counted are false claims
"p_A > Phi(R / sigma)" of `certify` at its largest radius R (0 is one of them), and radii beyond
that distance. What is given away is parted into the theorem's loss, from the distance to
sigma PhiInv(p_A), and the samples', from there to the certified radius.

Noise on the lattice of 1/4080 is rounded, which exact integrals leave out: a point is moved by
h / sqrt(2) at most, p by less than 0.4 h / (sqrt(2) sigma) for each border (3e-4 at sigma 0.25; far
less in fact, as it moves to both sides alike). Claims count as false against the integral as it is.
"""

import argparse
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from polygons import Floats, distance_to_change, edges_of_labels, masses
from scipy.special import ndtr, ndtri
from scipy.stats import binomtest
from torch import nn

from bandlimiter import PostAverage, certify
from bandlimiter.data.planar import PLANAR_SETS, load_planar
from bandlimiter.defence.certificates import lattice_for
from bandlimiter.draw.plotting import new_figure
from bandlimiter.models.perceptron import build_perceptron
from bandlimiter.models.perceptron_training import train_perceptron

SIGMAS, ALPHAS = (0.25, 0.1), (0.01, 0.001)
LIMIT = 6.0
"""In sigmas: how far a change is looked for."""


def trained(number: int) -> tuple[nn.Sequential, str]:
    """Return a network, and what it was trained on."""
    name = PLANAR_SETS[number % len(PLANAR_SETS)]
    known = load_planar(name, seed=number)
    network = build_perceptron((2, 16, 16, int(known.labels.max()) + 1), seed=number)
    train_perceptron(network, known.points, known.labels, epochs=300)
    return network, name


def points_for(number: int, name: str, count: int, sigma: float) -> torch.Tensor:
    """Return new points of the set and others, of the lattice: [count, 2] float32."""
    drawn = load_planar(name, points=max(2, count // 2), seed=1000 + number).points[: count // 2]
    others = np.random.default_rng(number).uniform(-1.2, 1.2, (count - len(drawn), 2))
    lattice = lattice_for(sigma)
    return lattice.points(lattice.round(torch.from_numpy(np.concatenate([drawn, others])))[0])


def study(
    number: int, network: nn.Sequential, areas: list[Floats], x: torch.Tensor, sigma: float,
    samples: int,
) -> list[dict[str, Any]]:  # fmt: skip
    """Return a row for each point."""
    exact = masses(areas, x.double().numpy(), sigma)
    defence = PostAverage(network, sigma=sigma, seed=number)
    found = {a: certify(defence, x, samples=samples, alpha=a) for a in ALPHAS}
    rows = []
    for i, shares in enumerate(exact):
        row: dict[str, Any] = {
            "network": number,
            "sigma": sigma,
            "x": x[i].tolist(),
            "label": int(shares.argmax()),
            "p": float(shares.max()),
            "missing": float(1 - shares.sum()),
            "distance": distance_to_change(
                areas, x[i].double().numpy(), sigma, limit=LIMIT * sigma
            ),
        }
        for alpha, certificate in found.items():
            label, radius = int(certificate.labels[i]), float(certificate.radius[i])
            row[f"{alpha:g}"] = {
                "label": label,
                "radius": radius,
                "samples": int(certificate.samples[i]),
                "false": label >= 0 and bool(shares[label] <= ndtr(radius / sigma)),
                "beyond": label >= 0 and bool(label != row["label"] or radius > row["distance"]),
            }
        rows.append(row)
    return rows


def theorem(row: dict[str, Any]) -> float:
    """Return the radius that p_A alone proves."""
    return max(0.0, row["sigma"] * float(ndtri(min(row["p"], 1 - 1e-16))))


def report(rows: list[dict[str, Any]], sigma: float, alpha: str) -> str:
    some = [row for row in rows if row["sigma"] == sigma]
    mine = [row[alpha] for row in some]
    claimed = sum(each["label"] >= 0 for each in mine)
    false, beyond = (sum(each[kind] for each in mine) for kind in ("false", "beyond"))
    low, high = binomtest(false, len(some)).proportion_ci(method="exact")
    pairs = [
        (theorem(row) / row["distance"], each["radius"] / theorem(row))
        for row, each in zip(some, mine, strict=True)
        if each["radius"] > 0 and math.isfinite(row["distance"])
    ]
    kept, sampled = (np.array(column) for column in zip(*pairs, strict=True))
    return (
        f"sigma {sigma}, alpha {alpha}: {len(some)} points, {claimed} with a label; false claims "
        f"{false}, {false / len(some):.4f} [{low:.4f}, {high:.4f}]; labels lost within the radius "
        f"{beyond}; mean samples {np.mean([each['samples'] for each in mine]):.0f}\n"
        f"  median share of the distance: theorem {np.median(kept):.3f}, samples "
        f"{np.median(sampled):.3f} of that, both {np.median(kept * sampled):.3f}; "
        f"largest of both {(kept * sampled).max():.3f} ({len(pairs)} points)"
    )


def draw(rows: list[dict[str, Any]], file: Path) -> None:
    figure, (left, right) = new_figure(2, 10, 4.4)
    some = [r for r in rows if r["sigma"] == SIGMAS[0] and math.isfinite(r["distance"])]
    distances = np.array([r["distance"] for r in some]) / SIGMAS[0]
    proved = np.array([theorem(r) for r in some]) / SIGMAS[0]
    radii = np.array([r[f"{ALPHAS[-1]:g}"]["radius"] for r in some]) / SIGMAS[0]
    left.plot([0, LIMIT], [0, LIMIT], color="black", linewidth=0.8, label="all of the distance")
    left.plot(
        distances, proved, ".", markersize=4, color="tab:orange", label="from the exact $p_A$"
    )
    left.plot(distances, radii, ".", markersize=4, color="tab:blue", label="from samples")
    left.set(
        xlabel="true distance at which the label changes, in $\\sigma$",
        ylabel="radius, in $\\sigma$",
        xlim=(0, LIMIT), ylim=(0, LIMIT),
        title=f"{len(some)} points, $\\sigma$ = {SIGMAS[0]}",
    )  # fmt: skip
    left.legend(frameon=False, loc="upper left")
    seen = radii > 0
    ranks = np.arange(1, seen.sum() + 1) / seen.sum()
    for share, colour, label in (
        (proved / distances, "tab:orange", "theorem: exact $p_A$ over distance"),
        (
            radii / np.where(proved > 0, proved, 1),
            "tab:green",
            "samples: over exact $p_A$",
        ),
        (radii / distances, "tab:blue", "both: certified over distance"),
    ):
        right.plot(np.sort(share[seen]), ranks, color=colour, label=label)
    right.set(
        xlabel="share of the radius that is kept", ylabel="share of points with less",
        xlim=(0, 1.02), ylim=(0, 1), title=f"What is given away, $\\alpha$ = {ALPHAS[-1]:g}",
    )  # fmt: skip
    right.legend(frameon=False, loc="upper left")
    figure.savefig(file, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--networks", type=int, default=20)
    parser.add_argument("--points", type=int, default=50)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true", help="2 networks, 10 points, 2,000 samples")
    args = parser.parse_args()
    networks, count, samples = args.networks, args.points, args.samples
    if args.quick:
        networks, count, samples = 2, 10, 2000
    rows: list[dict[str, Any]] = []
    for number in range(networks):
        network, name = trained(number)
        # Beyond lies less than 1e-22 of the noise, also around the points farthest off.
        areas = edges_of_labels(network, 1.2 + (LIMIT + 10) * max(SIGMAS))
        for sigma in SIGMAS:
            x = points_for(number, name, count, sigma)
            rows += study(number, network, areas, x, sigma, samples)
        print(
            f"network {number} ({name}): {sum(map(len, areas))} edges; shares add up to 1 within "
            f"{max(abs(row['missing']) for row in rows):.0e}",
            flush=True,
        )
    short = min(row["distance"] - theorem(row) for row in rows)
    print(f"sigma PhiInv(p_A) is below the distance by at least {short:.1e}")
    for sigma in SIGMAS:
        for alpha in ALPHAS:
            print(report(rows, sigma, f"{alpha:g}"))
    if args.figure:
        draw(rows, args.figure)
    if args.json:
        args.json.write_text(json.dumps(rows) + "\n")


if __name__ == "__main__":
    main()
