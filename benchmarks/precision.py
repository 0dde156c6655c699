"""What fast copies bring to a whole evaluation, and what they change: its rows, one by one.

OMP_NUM_THREADS=2 python benchmarks/precision.py [--limit 50] [--quick] [--attack NAME ...]

The same command with ``--precision float32 --gradient-points all`` and with the defaults, in turns,
start-up included; CPU seconds beside seconds. ``--before DIR`` runs the package in DIR/src as a
third way: another checkout of this repository.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from timing import Times, begin, end, median, model_parser, ratios

from bandlimiter.results import Row, read_rows

COMMAND = [sys.executable, "-c", "from bandlimiter.cli.main import app; app()", "evaluate"]
JUDGED = ("plain_clean", "defended_clean", "plain_adversarial", "defended_adversarial")
FLOAT32, AUTO, BEFORE = "float32", "auto", "before"


def main() -> None:
    given = model_parser(__doc__ or "", limit=50)
    given.add_argument("--attack", action="append", help="as the command takes it; repeat")
    given.add_argument("--quick", action="store_true")
    given.add_argument("--before", type=Path, help="another checkout")
    args = given.parse_args()
    described = begin(threads=args.threads)
    shared = ["--model", args.model, "--data", args.data, "--limit", str(args.limit)]
    shared += [] if args.weights is None else ["--weights", str(args.weights)]
    shared += [word for name in args.attack or () for word in ("--attack", name)]
    shared += ["--quick"] if args.quick else []
    ways: dict[str, list[str]] = {
        FLOAT32: ["--precision", "float32", "--gradient-points", "all"],
        AUTO: [],
    }
    if args.before:
        ways[BEFORE] = []
    found: dict[str, list[Row]] = {}
    spent: dict[str, list[float]] = {name: [] for name in ways}

    def run(name: str) -> None:
        before = _children()
        environment = dict(os.environ)
        if name == BEFORE:
            environment["PYTHONPATH"] = str((args.before / "src").absolute())
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "run"
            command = [*COMMAND, *shared, *ways[name], "--out", str(out), "--json"]
            subprocess.run(  # noqa: S603
                command, capture_output=True, check=True, env=environment, cwd=folder
            )
            if name != BEFORE:  # whose rows another version may not read
                found[name] = read_rows(out)
        spent[name].append(_children() - before)

    times: Times = {name: [] for name in ways}
    for _ in range(args.rounds):
        for name in ways:
            began = time.perf_counter()
            run(name)
            times[name].append(time.perf_counter() - began)
    for name in ways:
        line = f"{name:8} {median(times[name]):7.1f} s, {median(spent[name]):7.1f} s of CPU time"
        if name != AUTO:
            gain = ratios(times, AUTO, name)
            line += "; auto is {:.2f} ({:.2f} to {:.2f}) times as fast".format(*gain)
        print(line)
    differences = _differences(found[FLOAT32], found[AUTO])
    print(json.dumps(differences))
    end(args.json, {"machine": described, "seconds": times, "cpu": spent, **differences})


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _named(row: Row) -> tuple[Any, ...]:
    return row.defence, row.attack, row.protocol, row.threat, row.image


def _differences(exact: list[Row], fast: list[Row]) -> dict[str, Any]:
    """Count rows that differ: in labels of clean images, in what became of them, in labels."""
    # Shards are of other sizes, and rows in another order.
    pairs = list(zip(*(sorted(rows, key=_named) for rows in (exact, fast)), strict=True))
    names = Counter(
        name
        for one, other in pairs
        for name in JUDGED
        if getattr(one, name) != getattr(other, name)
    )
    same = [(a, b) for a, b in pairs if (a.found, a.linf, a.l2) == (b.found, b.linf, b.l2)]
    return {
        "rows": len(pairs),
        "other outcomes": sum(a.status != b.status for a, b in pairs),
        "other labels": {name: names[name] for name in JUDGED},
        "rows with the same image": len(same),
        "of these other labels": sum(
            any(getattr(a, name) != getattr(b, name) for name in JUDGED) for a, b in same
        ),
    }


if __name__ == "__main__":
    main()
