"""What averaging removes along a line: exact spectra of a small CNN and of a larger network.

A short segment from each image in a random direction, and the 6K + 1 parallel ones that the
paper's directions (K = 15, r = 6, vote logits) average over. The small network is trained on
the images given (all but the last 1,000, on which its accuracy is stated)::

    python tools/tracing/line_spectra.py --model cifar-resnet20 --weights FILE --data npz:FILE \
        --limit 5 --out DIR
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from intervals import mean
from ledger import Clock
from rich.console import Console
from rich.table import Table
from subjects import Subject, directions, load_subject, parser, run
from torch import nn

from bandlimiter import PostAverage, load_data
from bandlimiter.draw import draw_line_spectra, save_figure
from bandlimiter.geometry import read_graph, trace_line
from bandlimiter.spectrum import LineSpectrum, line_spectrum
from bandlimiter.tensors import generator

HELD_OUT = 1000
RADIUS, DIRECTIONS = 6.0, 15


def small_cnn(normaliser: nn.Module, data_name: str, seed: int) -> tuple[nn.Sequential, float]:
    """Train a small convolutional network; return it and its accuracy on held-out images."""
    data = load_data(data_name)
    x, y = data.images(0, len(data)), data.labels
    rng = generator(seed, "small cnn")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = nn.Sequential(
            normaliser.float(),
            nn.Conv2d(3, 12, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(12, 24, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(24, 32, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
            nn.Linear(512, 10),
        )
    optimiser = torch.optim.Adam(network.parameters(), lr=2e-3)
    train = len(x) - HELD_OUT
    for _ in range(12):
        for rows in torch.randperm(train, generator=rng).split(64):
            loss = nn.functional.cross_entropy(network(x[rows]), y[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    network.eval().requires_grad_(False)
    right = network(x[train:]).argmax(dim=1) == y[train:]
    return network, float(right.float().mean())


def spectra(subject: Subject, length: float, seed: int, name: str) -> list[LineSpectrum]:
    """Return one spectrum an image, along a random segment of ``length`` from it."""
    defence = PostAverage(
        subject.module, RADIUS, directions=DIRECTIONS, vote="logits", seed=seed
    ).double()
    found, clock = [], Clock(name, len(subject))
    for pixels, key in zip(subject.pixels.double(), subject.ids.tolist(), strict=True):
        around = subject.points(defence.neighbours(pixels))
        start = subject.points(pixels[None])[0]
        end = start + length * directions(start, 1, seed, "segment", key)[0]
        breakpoints = len(trace_line(subject.graph, start, end))
        # From one wave on the segment to ten waves between breakpoints.
        waves = 2 * np.pi / length * np.geomspace(1, 10 * breakpoints, 1500)
        found.append(line_spectrum(subject.graph, start, end, waves, offsets=around - start))
        clock.step(1)
    return found


def summarise(found: list[LineSpectrum], length: float) -> dict[str, object]:
    """Return what averaging keeps below, around and above one wave a breakpoint."""
    bands: dict[str, object] = {}
    for name, low, high in (("low", 0, 0.1), ("middle", 0.1, 1.0), ("high", 1.0, np.inf)):
        limits = [
            (low * density, high * density)
            for density in (2 * np.pi * one.breakpoints[0] / length for one in found)
        ]
        kept = [one.kept_power(*band) for one, band in zip(found, limits, strict=True)]
        share = [one.coherence(*band) for one, band in zip(found, limits, strict=True)]
        bands[name] = {"kept": mean(np.array(kept)), "coherence": mean(np.array(share))}
    return {
        "length": length,
        "images": len(found),
        "lines": found[0].lines,
        "breakpoints": mean(np.array([float(one.breakpoints[0]) for one in found])),
        "breakpoints_averaged": mean(np.array([one.breakpoints[1:].mean() for one in found])),
        "bands": bands,
        "expected": 1 / found[0].lines,
    }


def draw(one: LineSpectrum, path: Path, title: str) -> None:
    """Draw the first image's spectra: root of the power over outputs."""

    def level(transform: np.ndarray) -> np.ndarray:
        return np.sqrt((np.abs(transform) ** 2).sum(axis=1))

    curves = {
        "plain": level(one.plain_kinks),
        "averaged": level(one.averaged_kinks),
        "removed": level(one.plain_kinks - one.averaged_kinks),
    }
    ratio = one.lines**-0.5
    save_figure(draw_line_spectra(one.frequencies, curves, kept_ratio=ratio, title=title), path)


def main(args: argparse.Namespace) -> None:
    """Run both networks, print the table and the sentence, draw the first image of each."""
    subject = load_subject(args)
    network, accuracy = small_cnn(
        type(subject.normaliser)(
            subject.normaliser.mean.flatten().tolist(), subject.normaliser.std.flatten().tolist()
        ),
        args.data,
        args.seed,
    )
    shape = tuple(subject.pixels.shape[1:])
    small = replace(subject, name="small CNN", module=network, graph=read_graph(network[1:], shape))
    document = {"small_accuracy": accuracy, "radius": RADIUS, "directions": DIRECTIONS}
    table = Table(
        title="power of the kinks along a line that averaging keeps [95 %, bootstrap over images]"
    )
    for heading in (
        "network",
        "length",
        "breakpoints",
        "band",
        "of the plain line",
        "of its lines",
    ):
        table.add_column(heading, justify="left" if heading in ("network", "band") else "right")
    for one, length in ((small, args.small_length), (subject, args.length)):
        found = spectra(one, length, args.seed, one.name)
        summary = summarise(found, length)
        document[one.name] = summary
        slug = one.name.replace(" ", "-").lower()
        draw(found[0], args.out / f"line_spectra_{slug}", f"{one.name}, segment of length {length}")
        for band, values in summary["bands"].items():
            table.add_row(
                one.name, f"{length}", f"{summary['breakpoints'][0]:.0f}", band,
                "{:.4f} [{:.4f}, {:.4f}]".format(*values["kept"]),
                "{:.4f} [{:.4f}, {:.4f}]".format(*values["coherence"]),
            )  # fmt: skip
    (args.out / "line_spectra.json").write_text(json.dumps(document, indent=2) + "\n")
    Console(width=120).print(table)
    high = document[subject.name]["bands"]["high"]["coherence"]
    print(
        f"{subject.name}: at high frequencies averaging keeps {high[0]:.4f} of its lines' power, "
        f"theory for unrelated lines 1 / {summary['lines']} = {summary['expected']:.4f}; small CNN "
        f"(accuracy {accuracy:.3f}): {document[small.name]['bands']['high']['coherence'][0]:.4f}"
    )


if __name__ == "__main__":
    options = parser(__doc__, limit=5)
    options.add_argument("--length", type=float, default=0.05, help="of the network's segment")
    options.add_argument("--small-length", type=float, default=1.0, help="of the small CNN's")
    run(main, options)
