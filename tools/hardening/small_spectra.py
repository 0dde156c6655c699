"""Does training under noise itself remove high frequencies, and pieces? Small networks, exactly.

    python tools/hardening/small_spectra.py [--seeds 5] [--sigma 0.2] [--epochs 200] [--chosen]
        [--figure docs/hardened_spectra.png]

The theory page's 2-16-16-2 networks on moons and circles, and each of them trained on by the
steps of `harden`: without noise, as a control, and under noise by both recipes. Of the margin (the
first logit less the second) on the square [-1.5, 1.5]^2: linear regions, the length of their
borders, and the exact spectrum.

`harden` takes pixels in [0, 1], so the square becomes the unit square, and the way back is a fixed
first layer, as a normaliser is. Sigma is given in the plane's own unit, in which the points fill
[-1, 1]: 0.2 is the radius that `bandlimiter spectrum` averages over.

What is looked at is the network after the last step, as the question is what training does.
`--chosen` takes the epoch that `harden` keeps instead; where the plain network is as good under
noise, that may be the one before the first.
"""

import argparse
import copy
import math
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.stats import t as student
from torch import nn

from bandlimiter import harden
from bandlimiter.data import PlanarSet, as_images, load_planar
from bandlimiter.draw.plotting import new_figure
from bandlimiter.geometry import Regions, enumerate_regions
from bandlimiter.hardening.batches import Batches, split
from bandlimiter.hardening.harden import BATCH, RATE
from bandlimiter.hardening.recipes import RECIPES
from bandlimiter.hardening.training import Settings, Training
from bandlimiter.models import build_perceptron, train_perceptron
from bandlimiter.spectrum import decay_exponent, radial_spectrum
from bandlimiter.tensors import generator

Floats = NDArray[np.float64]

SETS = ("moons", "circles")
REACH = 1.5
"""Half the side of the square, as `bandlimiter spectrum` has it."""
TRAININGS = {
    "plain": None,
    "without noise": ("gaussian", 0.0),
    "gaussian": ("gaussian", 1.0),
    "consistency": ("consistency", 1.0),
}
"""By name: the recipe, and how many sigmas of noise."""

MAGNITUDES = np.geomspace(1, 100, 11)
STEP = float(MAGNITUDES[1] / MAGNITUDES[0])
FITTED = MAGNITUDES >= 9.9
"""From |w| = 10 on, where the square is 42 wide in units of 1 / |w|."""

LEFT = 1e-4
"""What the Gaussian average leaves of the network where its band ends."""


def plain_network(planar: PlanarSet, seed: int) -> nn.Sequential:
    """Train a network as `bandlimiter spectrum` does; return it in float64."""
    network = build_perceptron((2, 16, 16, 2), seed=seed)
    train_perceptron(network, planar.points, planar.labels)
    return network.double()


def trained_on(
    network: nn.Sequential, planar: PlanarSet, training: str, seed: int, args: argparse.Namespace
) -> nn.Sequential:
    """Return a copy that was trained on; in float64, so that no machine's bfloat16 counts."""
    if TRAININGS[training] is None:
        return network
    recipe, share = TRAININGS[training]
    model = nn.Sequential(_from_unit_square(), *network)
    pixels = torch.from_numpy(planar.points + REACH) / (2 * REACH)
    images = as_images((pixels, torch.from_numpy(planar.labels)))
    noise = share * args.sigma / (2 * REACH)
    if args.chosen:  # which wants a sigma above 0
        options = {"recipe": recipe, "epochs": args.epochs, "compiled": False, "seed": seed}
        return harden(model, images, sigma=noise or 1e-9, **options).model[1:]
    batches = Batches(split(images, seed)[0], BATCH, None, seed)
    steps = args.epochs * batches.per_epoch
    settings = Settings(noise, RECIPES[recipe], "all", steps, RATE, True, False, seed)
    learner = Training(copy.deepcopy(model), settings)
    for x, labels in batches.between(0, steps):
        learner.step(x, labels)
    return learner.answering[1:].eval()


def _from_unit_square() -> nn.Linear:
    """Return the fixed layer from [0, 1]^2 to [-REACH, REACH]^2."""
    layer = nn.Linear(2, 2).double().requires_grad_(False)
    nn.init.eye_(layer.weight).mul_(2 * REACH)
    nn.init.constant_(layer.bias, -REACH)
    return layer


@torch.no_grad()
def accuracy(network: nn.Sequential, name: str, seed: int, sigma: float) -> tuple[float, float]:
    """Return the shares of new points that are right, as they are and under noise."""
    fresh = load_planar(name, points=20_000, seed=1000 + seed)
    points = torch.from_numpy(fresh.points)
    noise = torch.randn(points.shape, generator=generator(seed, "noise"), dtype=torch.float64)
    found = (network(x).argmax(dim=1).numpy() for x in (points, points + sigma * noise))
    clean, noisy = (float((label == fresh.labels).mean()) for label in found)
    return clean, noisy


def measure(network: nn.Sequential, sigma: float) -> dict[str, float | Floats]:
    """Return numbers by name, and root mean squares over directions: ``whole`` and ``kinks``."""
    margin = nn.Linear(2, 1, bias=False).double()
    with torch.no_grad():
        margin.weight.copy_(torch.tensor([[1.0, -1.0]]))
    regions = enumerate_regions(nn.Sequential(*network, margin), -REACH, REACH)
    radial = radial_spectrum(regions, MAGNITUDES, band=STEP)
    found = {"regions": float(len(regions)), "crossings": crossings_per_length(regions)}
    for name, power in (("whole", radial.power[:, 0]), ("kinks", radial.kinks[:, 0])):
        found[name] = np.sqrt(power)
        for band, inside in bands(sigma).items():
            found[f"{name}, {band}"] = norm_in(inside, power)
        exponents = decay_exponent(MAGNITUDES[FITTED], power[FITTED, None])
        found[f"{name}, decay"] = float(exponents[0])
    found["kinks, high / low"] = found["kinks, high"] / found["whole, low"]
    return found


def band_edge(sigma: float) -> float:
    """Return |w| from which the Gaussian average leaves less than `LEFT` of the network."""
    return math.sqrt(-2 * math.log(LEFT)) / sigma


def averaged(magnitudes: Floats, sigma: float) -> Floats:
    """Return what the average over noise leaves at |w|: exp(-sigma^2 |w|^2 / 2)."""
    return np.exp(-0.5 * (sigma * magnitudes) ** 2)


def bands(sigma: float) -> dict[str, NDArray[np.bool_]]:
    """Return what the Gaussian average keeps, what it lowers, and what it takes away."""
    w = MAGNITUDES
    low, high = w < 1 / sigma, w >= band_edge(sigma)
    return {"low": low, "middle": ~low & ~high, "high": high}


def norm_in(band: NDArray[np.bool_], power: Floats) -> float:
    """Return the L2 norm of the function's part in a band: the integral of |F|^2 over it."""
    return float(np.sqrt(2 * np.pi * math.log(STEP) * (power * MAGNITUDES**2)[band].sum()))


def crossings_per_length(regions: Regions) -> float:
    """Return how often a random line changes region, per unit of length (Crofton's formula)."""
    inside = regions.facet_regions[:, 1] >= 0
    area = float(np.prod(regions.upper - regions.lower))
    return float(2 / np.pi * regions.facet_measures[inside].sum() / area)


def interval(values: Floats) -> tuple[float, float, float]:
    """Return the mean over seeds and its 95 % interval by Student's t."""
    middle = float(values.mean())
    if len(values) < 2:
        return middle, math.nan, math.nan
    half = float(student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5)
    return middle, middle - half, middle + half


def said(values: Floats, digits: int = 2) -> str:
    return "{:.{d}f} [{:.{d}f}, {:.{d}f}]".format(*interval(values), d=digits)


RATIOS = (
    *("regions", "crossings", "whole, low", "whole, middle", "whole, high"),
    *("kinks, high", "kinks, high / low"),
)


def show(console: Console, found: dict[tuple[str, str], list[dict]], sigma: float) -> None:
    """Print what each network is, and paired ratios to the plain one of the same seed."""
    states = Table(title=f"means over seeds [95 %]; noise of {sigma:g}; decay from |w| = 10 to 100")
    ratios = Table(
        title="over the plain network's, geometric means [95 %]; amplitudes at low |w| (up to "
        f"{1 / sigma:.3g}), middle, and high (from {band_edge(sigma):.1f} on)"
    )
    for heading in ("", "clean", "noisy", "regions", "crossings", "decay", "of kinks"):
        states.add_column(heading, no_wrap=True)
    for heading in ("", *RATIOS):
        ratios.add_column(heading, no_wrap=True)
    for (name, training), rows in found.items():
        columns = {key: np.array([row[key] for row in rows]) for key in rows[0]}
        states.add_row(
            f"{name}, {training}",
            said(columns["clean"], 3), said(columns["noisy"], 3), said(columns["regions"], 0),
            said(columns["crossings"]), said(columns["whole, decay"]),
            said(columns["kinks, decay"]),
        )  # fmt: skip
        if training != "plain":
            before = found[name, "plain"]
            logs = {
                key: np.log(columns[key] / np.array([row[key] for row in before])) for key in RATIOS
            }
            cells = [np.exp(interval(logs[key])) for key in RATIOS]
            ratios.add_row(
                f"{name}, {training}", *("{:.2f} [{:.2f}, {:.2f}]".format(*cell) for cell in cells)
            )
    console.print(states, ratios)


def draw(found: dict[tuple[str, str], list[dict]], sigma: float, file: Path) -> None:
    """Draw |F| of all trainings, as they are and after the average: geometric means over seeds."""
    figure, panels = new_figure(len(SETS), 10, 4.4)
    fine = np.geomspace(MAGNITUDES[0], MAGNITUDES[-1], 400)
    colours = {"plain": "black", "gaussian": "tab:blue", "consistency": "tab:red"}
    for panel, name in zip(panels, SETS, strict=True):
        for training, colour in colours.items():
            logs = np.log([row["whole"] for row in found[name, training]])
            curve = np.exp(np.interp(np.log(fine), np.log(MAGNITUDES), logs.mean(axis=0)))
            panel.loglog(fine, curve, color=colour, label=training)
            panel.loglog(fine, curve * averaged(fine, sigma), "--", color=colour)
        panel.plot([], [], "--", color="grey", label="each, averaged over the noise")
        panel.axvline(
            band_edge(sigma), color="grey", linestyle=":",
            label=f"|ω| = {band_edge(sigma):.1f}: {LEFT:g} of it is left",
        )  # fmt: skip
        panel.set(
            title=f"{name}, $\\sigma$ = {sigma:g}", xlabel="|ω|", ylim=(1e-8, 1e2),
            ylabel="|F|, root mean square over directions",
        )  # fmt: skip
        panel.grid(alpha=0.3)
        panel.legend(fontsize="small", loc="lower left")
    figure.savefig(file, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5, help="networks of each set: seeds 0, 1 ...")
    parser.add_argument("--sigma", type=float, default=0.2, help="the points fill [-1, 1]")
    parser.add_argument("--epochs", type=int, default=200, help="of three steps each")
    parser.add_argument("--chosen", action="store_true", help="take the epoch that `harden` keeps")
    parser.add_argument("--figure", type=Path, help="a file to draw spectra into")
    args = parser.parse_args()
    # Sigmas for which each band has magnitudes.
    if not (min(args.seeds, args.epochs) >= 1 and 0.06 <= args.sigma <= 0.6):
        parser.error("expected --seeds and --epochs of 1 or more, and --sigma from 0.06 to 0.6")
    torch.set_num_threads(1)
    found: dict[tuple[str, str], list[dict]] = {}
    for name in SETS:
        for seed in range(args.seeds):
            planar = load_planar(name, seed=seed)
            plain = plain_network(planar, seed)
            for training in TRAININGS:
                network = trained_on(plain, planar, training, seed, args)
                clean, noisy = accuracy(network, name, seed, args.sigma)
                row = {"clean": clean, "noisy": noisy, **measure(network, args.sigma)}
                found.setdefault((name, training), []).append(row)
    show(Console(width=180), found, args.sigma)
    edge = band_edge(args.sigma)
    print(
        f"Averaged over noise of {args.sigma:g}, plain and trained networks alike keep less than "
        f"{LEFT:g} of their spectrum beyond |w| = 4.29 / sigma = {edge:.1f}, "
        f"and {averaged(np.array(1 / args.sigma), args.sigma):.2f} at 1 / sigma."
    )
    if args.figure:
        draw(found, args.sigma, args.figure)


if __name__ == "__main__":
    main()
