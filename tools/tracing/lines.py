"""Exact crossings on a few of the lines whose flips were counted."""

import argparse
import resource
import time

import numpy as np
import torch
from ledger import Ledger, Row
from rich.console import Console
from rich.table import Table
from subjects import Subject

from bandlimiter.geometry.tracing import count_flips, trace_line

KINDS = ("adversarial", "random")


def trace(subject: Subject, steps: dict[str, torch.Tensor], args: argparse.Namespace) -> list[Row]:
    """Return a row for each line of the first images."""
    clean = subject.points(subject.pixels[: args.lines])
    keys = [(i, kind) for i in range(len(clean)) for kind in KINDS]

    def row(number: int) -> Row:
        i, kind = keys[number]
        start, end = clean[i], clean[i] + steps[kind][i]
        return {"id": int(subject.ids[i]), "kind": kind, **measured(subject.graph, start, end)}

    names = [f"{subject.ids[i]} {kind}" for i, kind in keys]
    return Ledger(args.out / "lines.jsonl", {}).fill(names, row, "lines")


def measured(graph, start: torch.Tensor, end: torch.Tensor) -> Row:
    """Trace a line; what it took is read off the process as a whole."""
    before = peak_mebibytes()
    started, worked = time.perf_counter(), time.process_time()
    found = trace_line(graph, start, end)
    seconds, processor = time.perf_counter() - started, time.process_time() - worked
    flips = count_flips(graph, start[None], end[None])
    return {
        "length": found.length,
        "breakpoints": len(found),
        "crossings": found.crossings,
        "flips": {layer: int(count) for layer, count in flips.items()},
        "seconds": seconds,
        "processor_seconds": processor,
        "peak_mebibytes": peak_mebibytes(),
        "peak_mebibytes_before": before,
    }


def peak_mebibytes() -> float:
    """Return the largest memory that this process has held so far (Linux counts in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def show(console: Console, rows: list[Row]) -> None:
    table = Table(title="exact crossings")
    headings = ("image", "to", "length", "crossings", "a layer", "flips", "crossings / flips")
    for heading in (*headings, "seconds", "of processor", "breakpoints/s", "peak MiB"):
        table.add_column(heading, justify="right")
    for row in rows:
        flips = sum(row["flips"].values())
        table.add_row(
            str(row["id"]),
            row["kind"],
            f"{row['length']:.3f}",
            str(row["breakpoints"]),
            f"{row['breakpoints'] / len(row['crossings']):.1f}",
            str(flips),
            f"{row['breakpoints'] / max(flips, 1):.3f}",
            f"{row['seconds']:.1f}",
            f"{row['processor_seconds']:.1f}",
            f"{row['breakpoints'] / row['processor_seconds']:.0f}",
            f"{row['peak_mebibytes']:.0f}",
        )
    console.print(table)


def sentence(rows: list[Row]) -> str:
    own, random = ([row for row in rows if row["kind"] == kind] for kind in KINDS)
    count = [np.mean([row["breakpoints"] for row in part]) for part in (own, random)]
    twice = [row["breakpoints"] / max(sum(row["flips"].values()), 1) for row in rows]
    rate = [row["breakpoints"] / row["processor_seconds"] for row in rows]
    return (
        f"On the lines of {len(own)} images the network bends {count[0]:.0f} times on the way to "
        f"an adversarial point and {count[1]:.0f} times to a random one (means), "
        f"{min(twice):.3f} to {max(twice):.3f} times as often as units differ at the ends; "
        f"{min(rate):.0f} to {max(rate):.0f} breakpoints a second of processor time, and at most "
        f"{max(row['peak_mebibytes'] for row in rows):.0f} MiB "
        f"({rows[0]['peak_mebibytes_before']:.0f} before the first)."
    )
