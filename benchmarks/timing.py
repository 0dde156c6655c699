"""Interleaved rounds: contestants take turns, so that a busy machine slows all of them alike.

A time means little on a shared machine; a ratio of times of one round means much. Every
benchmark here therefore prints medians over rounds, and ratios with their least and largest.
"""

import argparse
import datetime
import gc
import importlib.metadata
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

Times = dict[str, list[float]]

LEAST = 0.02
"""Seconds that a turn lasts at least; quicker calls are repeated within it."""


def take_turns(contestants: dict[str, Callable[[], Any]], rounds: int) -> Times:
    """Return each contestant's seconds a call, round by round, after a round that is not timed."""
    repeats = {}
    for name, call in contestants.items():
        call()  # compiles
        repeats[name] = max(1, round(LEAST / max(_seconds(call, 1), 1e-9)))
    times: Times = {name: [] for name in contestants}
    for number in range(rounds):
        order = list(contestants)[:: 1 if number % 2 == 0 else -1]
        for name in order:
            times[name].append(_seconds(contestants[name], repeats[name]))
    return times


def _seconds(call: Callable[[], Any], repeats: int) -> float:
    """Time calls one by one; what they return is freed between, outside the time."""
    total = 0.0
    gc.collect()
    gc.disable()
    for _ in range(repeats):
        start = time.perf_counter()
        result = call()
        total += time.perf_counter() - start
        del result
    gc.enable()
    return total / repeats


def ratios(times: Times, ours: str, theirs: str) -> tuple[float, float, float]:
    """Return how many times faster ours is: median, least and largest over rounds."""
    each = [b / a for a, b in zip(times[ours], times[theirs], strict=True)]
    return statistics.median(each), min(each), max(each)


def median(times: list[float]) -> float:
    return statistics.median(times)


def machine(*packages: str) -> dict[str, Any]:
    """Describe where the numbers come from."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in packages},
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def parser(doc: str) -> argparse.ArgumentParser:
    """Return the options that all benchmarks have."""
    options = argparse.ArgumentParser(description=doc.splitlines()[0])
    options.add_argument("--rounds", type=int, default=9, help="timed rounds (default 9)")
    options.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there")
    return options


def model_parser(doc: str, limit: int) -> argparse.ArgumentParser:
    """Return those of benchmarks that take a model and images, and may use all cores."""
    options = parser(doc)
    options.add_argument("--threads", type=int, default=2, help="as OMP_NUM_THREADS (default 2)")
    options.add_argument("--model", default="sample", help="see bandlimiter evaluate")
    options.add_argument("--weights", type=Path, metavar="FILE")
    options.add_argument("--data", default="sample", help="see bandlimiter evaluate")
    options.add_argument("--limit", type=int, default=limit, help=f"images (default {limit})")
    return options


def begin(*packages: str, threads: int = 1) -> dict[str, Any]:
    """Hold everything to so many threads, and print and return the machine."""
    if os.environ.get("OMP_NUM_THREADS") != str(threads):
        sys.exit(f"set OMP_NUM_THREADS={threads}: it is read before Python starts (make does this)")
    torch.set_num_threads(threads)
    described = machine("numpy", "torch", "numba", *packages)
    print(", ".join(f"{key} {value}" for key, value in described.items()))
    return described


def end(file: Path | None, numbers: dict[str, Any]) -> None:
    """Write the numbers where the caller asked for them."""
    if file is not None:
        file.write_text(json.dumps(numbers, indent=1) + "\n")
