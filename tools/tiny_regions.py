"""Do tiny regions make the high frequencies? The paper says so; this counts.

For trained and for random networks: what the smaller half of the regions holds of the
volume, of the borders, of the kinks' energy in a high band and in the
limit, and the rank correlation of a region's volume with its share of the kinks.
"""

import numpy as np
from scipy.stats import spearmanr
from torch import nn

from bandlimiter.data import load_planar
from bandlimiter.geometry import enumerate_regions
from bandlimiter.models import build_perceptron, train_perceptron
from bandlimiter.spectrum import region_shares

SEEDS = range(5)
BAND = 300.0


def trained(name: str, widths: tuple[int, ...], seed: int) -> nn.Module:
    planar = load_planar(name, seed=seed)
    network = build_perceptron((2, *widths, 2), seed=seed)
    train_perceptron(network, planar.points, planar.labels)
    return network


def report(name: str, networks: list[nn.Module], reach: float) -> None:
    """Print the mean over seeds, and the least and largest share of the kinks."""
    rows, counts = [], []
    for network in networks:
        regions = enumerate_regions(network, -reach, reach)
        units = np.random.default_rng(0).normal(size=(400, regions.dim))
        band = BAND * units / np.linalg.norm(units, axis=1, keepdims=True)
        shares = region_shares(regions, band)
        half = shares.of_smallest(0.5)
        rank = float(spearmanr(shares.volume, shares.kinks).statistic)
        rows.append([half["volume"], half["surface"], half["band"], half["kinks"], rank])
        counts.append(len(regions))
    table, kinks = np.mean(rows, axis=0), [row[3] for row in rows]
    cells = " ".join(f"{value:9.3f}" for value in table)
    print(f"{name:<26} {np.mean(counts):7.0f} {cells}   {min(kinks):.3f} to {max(kinks):.3f}")


def main() -> None:
    print("the smaller half of regions holds, as parts of the whole (means of 5 seeds):")
    head = " ".join(f"{h:>9}" for h in ("volume", "surface", "band", "kinks", "rank"))
    print(f"{'network':<26} {'regions':>7} {head}   kinks, least to largest")
    for name in ("moons", "circles"):
        for widths in ((16, 16), (32, 32, 32)):
            label = f"{name} {'-'.join(map(str, widths))}"
            report(label, [trained(name, widths, seed) for seed in SEEDS], 1.5)
    for widths in ((2, 32, 32, 1), (3, 16, 16, 1)):
        label = f"random {'-'.join(map(str, widths))}"
        report(label, [build_perceptron(widths, seed=seed) for seed in SEEDS], 1.0)


if __name__ == "__main__":
    main()
