"""A certificate that is false in floating point, and what noise on a lattice makes of it.

    python tools/certificates/floating.py [--samples 10000] [--json FILE] [--quick]

1. `LowBits` tells an all-black image of CIFAR-10's size from one whose pixels are all 1/255, by
   their lowest bits under float32 noise; in real numbers it would answer 0 everywhere. The usual
   procedure (Cohen et al. 2019) certifies either image a radius that holds the other one, which
   gets another label. `certify` does not: what it says of one is true of the other, and of points
   of the lattice on the way to the end of the radius.
2. eps, by which noise on a lattice is allowed to be off, and by how much it is, from 50 digits.
3. What normal variates in float32 would be off, if they were true ones, only rounded.
"""

import argparse
import json
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import torch
from scipy.stats import beta, norm
from torch import nn

from bandlimiter import PostAverage, certify
from bandlimiter.defence.certificates import GaussianNoise
from bandlimiter.defence.certificates.noise import Stream, _table, cell_probabilities

SIGMA, ALPHA, SHAPE = 0.25, 1e-3, (3, 32, 32)
BLACK, NEAR = torch.zeros(1, *SHAPE), torch.full((1, *SHAPE), 1 / 255)
DISTANCE = math.sqrt(math.prod(SHAPE)) / 255


class LowBits(nn.Module):
    """Answer 1 where a pixel near 0 has bits below 2^-32, else 0: [N, ...] -> [N, 2].

    Linear maps and ReLU. A sum with 1.5 * 2^23 keeps no fraction in float32 (in real numbers
    ``rest`` is 0). 1/255 + N near 0 is the exact difference of two floats near 1/255, so a
    multiple of 2^-32; 0 + N is whatever N is.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return [1/1000, sum of the fractions of x * 2^32 where |x| < 2^-11]."""
        y, much = x.flatten(1) * 2**32, 1.5 * 2**23
        whole = (y + much) - much
        rest = torch.relu(y - whole) + torch.relu(whole - y)
        size = torch.relu(y) + torch.relu(-y)
        found = torch.relu(rest - torch.relu(size - 2**21)).sum(dim=1)
        return torch.stack([torch.full_like(found, 1e-3), found], dim=1)


@torch.no_grad()
def usual(model: nn.Module, x: torch.Tensor, samples: int, seed: int) -> tuple[int, int, float]:
    """Return label, its votes of ``samples``, certified radius: float32 noise; nothing of ours."""
    rng = torch.Generator().manual_seed(seed)
    votes = torch.zeros(2, dtype=torch.int64)
    for done in range(0, samples, 500):
        count = min(500, samples - done)
        noise = torch.randn((count, *x.shape[1:]), generator=rng, dtype=torch.float32)
        votes += torch.bincount(model(x + SIGMA * noise).argmax(dim=1), minlength=2)
    label = int(votes.argmax())  # for a share near 1: no matter whether on samples of its own
    won = int(votes[label])
    bound = float(beta.ppf(ALPHA, won, samples - won + 1))
    return label, won, SIGMA * float(norm.ppf(bound)) if bound > 0.5 else 0.0


def ours(model: nn.Module, samples: int) -> list[dict[str, Any]]:
    """Return what `certify` says of both images, up to their distance and beyond."""
    defence = PostAverage(model, sigma=SIGMA)
    at = [0.1, 1.0001 * DISTANCE, 0.3]
    found = certify(defence, torch.cat([BLACK, NEAR]), at=at, samples=samples, alpha=ALPHA)
    columns = (found.labels, found.radius, found.share, found.samples)
    names = ("label", "radius", "share", "samples")
    return [
        dict(zip(names, row, strict=True))
        for row in zip(*(c.tolist() for c in columns), strict=True)
    ]


@torch.no_grad()
def votes_on_the_way(model: nn.Module, radius: float, points: int, samples: int) -> list[int]:
    """Return label 1's votes at points of the lattice just within ``radius`` of the black image."""
    noise, dim = GaussianNoise(SIGMA), math.prod(SHAPE)
    steps, counts = noise.lattice.steps, []
    for number in range(points):
        way = np.random.default_rng(number).normal(size=dim)
        way = np.trunc(way / np.linalg.norm(way) * radius * steps).astype(np.int32)  # inwards
        assert np.linalg.norm(way / steps) <= radius  # noqa: S101
        stream = Stream(number, ("way",), torch.device("cpu"))
        drawn = noise.around(torch.from_numpy(way), samples, stream)
        counts.append(int(model(drawn).argmax(dim=1).sum()))
    return counts


def off(sigma: float) -> dict[str, float]:
    """Return how far cells and table are from the true law of a coordinate, with 50 digits."""
    noise, (numbers, chances) = GaussianNoise(sigma), cell_probabilities(sigma * 4080)
    assert noise.lattice.steps == 4080  # noqa: S101
    table = _table(sigma * 4080)
    full = 1 << table.shift
    shares: dict[int, int] = {}
    for threshold, own, other in zip(table.threshold, table.own, table.other, strict=True):
        shares[int(own)] = shares.get(int(own), 0) + int(threshold)
        shares[int(other)] = shares.get(int(other), 0) + full - int(threshold)
    with mpmath.workdps(50):
        scale = mpmath.sqrt(2) * mpmath.mpf(sigma) * 4080
        last = int(numbers[-1])
        above = [mpmath.erfc((k + mpmath.mpf(1) / 2) / scale) / 2 for k in range(last + 1)]
        cells = [1 - 2 * above[0], *(above[k - 1] - above[k] for k in range(1, last + 1))]
        centre = len(numbers) // 2
        relative = max(
            abs(mpmath.mpf(float(chances[centre + k])) / cell - 1) for k, cell in enumerate(cells)
        )
        apart = 2 * above[last]
        for number in numbers.tolist():
            share = Fraction(shares.get(number, 0), 2**63)
            apart += abs(mpmath.mpf(share.numerator) / share.denominator - cells[abs(number)])
        return {"sigma": sigma, "relative": float(relative), "variation": float(apart / 2)}


def of_float32(sigma: float) -> tuple[float, float]:
    """Return the same for a true normal variate that was rounded to float32 before the lattice.

    Rounding moves the edges of cells to the middle between two floats. The second number is the
    chi-squared distance: that of n independent coordinates is near n times it, and their total
    variation near erf(sqrt(n chi^2 / 8)), where all are small.
    """
    step = 1 / (4080 * sigma)
    edges = (np.arange(-math.ceil(9.5 / step), math.ceil(9.5 / step) + 1) + 0.5) * step
    above = edges.astype(np.float32)
    above = np.where(above < edges, np.nextafter(above, np.float32(np.inf)), above)
    middle = (above + np.nextafter(above, np.float32(-np.inf)).astype(np.float64)) / 2
    change = np.diff(norm.pdf(edges) * (middle - edges))
    cells = norm.pdf(edges[:-1] + step / 2) * step
    return float(np.abs(change).sum() / 2), float((change**2 / cells).sum())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--quick", action="store_true", help="fewer samples, one sigma")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    samples, model = 1000 if args.quick else args.samples, LowBits().eval()
    numbers: dict[str, Any] = {"distance": DISTANCE}
    print(f"black image and one of pixels 1/255: {DISTANCE:.4f} apart; sigma {SIGMA}")
    for name, x, seed in (("black", BLACK, 0), ("1/255", NEAR, 1)):
        label, won, radius = usual(model, x, samples, seed)
        numbers[f"usual {name}"] = [label, won, radius]
        print(f"usual procedure, {name}: label {label}, {won} of {samples}, certified {radius:.4f}")
    for name, row in zip(("black", "1/255"), ours(model, samples), strict=True):
        numbers[f"ours {name}"] = row
        print(
            f"certify, {name}: label {row['label']}, share {row['share']:.4f} of "
            f"{row['samples']} samples, certified {row['radius']:.4f}"
        )
    radius = numbers["ours black"]["radius"]
    counts = votes_on_the_way(model, radius, 5, samples // 10)
    numbers["on the way"] = counts
    print(f"label 1's votes of {samples // 10} at 5 points within {radius:.4f} of black: {counts}")
    numbers["eps"] = [
        [sigma, dim, GaussianNoise(sigma).epsilon(dim)]
        for sigma in (0.03, 0.25, 1.0)
        for dim in (3072, 150_528)
    ]
    for sigma, dim, eps in numbers["eps"]:
        print(f"sigma {sigma}, n = {dim}: eps {eps:.2e}")
    numbers["off"] = [off(sigma) for sigma in ((0.03,) if args.quick else (0.03, 0.25, 1.0))]
    for row in numbers["off"]:
        allowed = GaussianNoise(row["sigma"]).epsilon(1)
        print(
            f"sigma {row['sigma']}: cells off by {row['relative']:.1e} of themselves, far out; "
            f"the table's law by {row['variation']:.1e} a coordinate ({allowed:.1e} allowed)"
        )
    numbers["float32"] = [[sigma, *of_float32(sigma)] for sigma in (0.03, 0.25, 1.0)]
    for sigma, apart, chi in numbers["float32"]:
        truth = math.erf(math.sqrt(3072 * chi / 8))
        print(
            f"float32 normals, sigma {sigma}: {apart:.1e} a coordinate; n = 3072: "
            f"{3072 * apart:.3f} by adding up, about {truth:.1e} in truth"
        )
    if args.json:
        args.json.write_text(json.dumps(numbers, indent=1) + "\n")


if __name__ == "__main__":
    main()
