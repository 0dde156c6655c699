"""What more workers bring: whole evaluations with one worker on one core, and with more.

OMP_NUM_THREADS=1 python benchmarks/workers.py [--workers 2] [--limit N] [...]

Every variant runs the same command, in turns, with one thread a worker: start-up, loading of
models in every worker and writing of shards included (some ten seconds that more images make
up for). All must give the same rows.
"""

import json
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from timing import begin, end, median, model_parser, ratios, take_turns

from bandlimiter.results import read_rows

COMMAND = [sys.executable, "-c", "from bandlimiter.cli.main import app; app()", "evaluate"]


def evaluate(arguments: list[str]) -> list[Any]:
    """Run the command in a new folder; return its rows."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        command = [*COMMAND, *arguments, "--threads", "1", "--out", str(out), "--json"]
        subprocess.run(command, capture_output=True, check=True)  # noqa: S603
        return read_rows(out)


def main() -> None:
    given = model_parser(__doc__ or "", limit=250)
    given.add_argument("--workers", type=int, default=2)
    given.add_argument("--shard-images", type=int, default=10)
    given.add_argument("--ray", action="store_true", help="also with Ray")
    args = given.parse_args()
    described = begin(threads=1)
    shared = ["--threat", "transfer", "--protocol", "minimal", "--attack", "pgd"]
    shared += ["--model", args.model, "--data", args.data, "--limit", str(args.limit)]
    shared += ["--shard-images", str(args.shard_images), "--quick"]
    shared += [] if args.weights is None else ["--weights", str(args.weights)]
    many = f"{args.workers} processes"
    variants: dict[str, list[str]] = {
        "one process": [],
        many: ["--executor", "processes", "--workers", str(args.workers)],
    }
    if args.ray:
        ray = ["--executor", "ray", "--address", "local"]
        variants["ray"] = [*ray, "--workers", str(args.workers)]
    found: dict[str, list[Any]] = {}

    def run(name: str) -> None:
        found[name] = evaluate([*shared, *variants[name]])

    calls: dict[str, Any] = {name: partial(run, name) for name in variants}
    times = take_turns(calls, args.rounds)
    same = all(each == found["one process"] for each in found.values())
    print(f"{args.limit} images; the same rows from all: {same}")
    for name in variants:
        gain, least, most = ratios(times, name, "one process")
        print(
            f"{name:14} {median(times[name]):7.1f} s, {gain:.2f} ({least:.2f} to {most:.2f}) "
            "times as fast as one process"
        )
    end(args.json, {"machine": described, "seconds": json.loads(json.dumps(times)), "same": same})


if __name__ == "__main__":
    main()
