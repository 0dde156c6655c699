"""Whole evaluations with and without the fast paths: the command as a user runs it.

OMP_NUM_THREADS=2 python benchmarks/averaging_end_to_end.py [--threads 2] [--limit N] [...]

Every variant runs the same command with other --stop and --accelerate, in turns; start-up,
loading, attacks and compiling included. Rows of variants that cannot change one are compared.
"""

import json
import subprocess
import sys
from functools import partial
from typing import Any

from timing import begin, end, median, model_parser, ratios, take_turns

VARIANTS = {
    "never": ["--stop", "never"],
    "exact (default)": [],
    "exact, accelerated": ["--accelerate"],
    "anytime 0.001, accelerated": ["--stop", "anytime", "--accelerate"],
}
COMMAND = [sys.executable, "-c", "from bandlimiter.cli.main import app; app()", "evaluate"]


def evaluate(arguments: list[str]) -> dict[str, Any]:
    """Run the command; return its document without settings, which differ."""
    command = [*COMMAND, *arguments, "--json"]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603
    document: dict[str, Any] = json.loads(out)
    del document["settings"]
    return document


def main() -> None:
    given = model_parser(__doc__ or "", limit=50)
    given.add_argument("--attack", action="append", help="default: the demo's four")
    args = given.parse_args()
    described = begin(threads=args.threads)
    shared = ["--quick", "--model", args.model, "--data", args.data, "--limit"]
    shared.append(str(args.limit))
    shared += [] if args.weights is None else ["--weights", str(args.weights)]
    for attack in args.attack or []:
        shared += ["--attack", attack]
    documents = {name: evaluate([*shared, *more]) for name, more in VARIANTS.items()}
    same = documents["never"] == documents["exact (default)"]
    print(f"the document of exact equals that of never: {same}")
    calls = {name: partial(evaluate, [*shared, *more]) for name, more in VARIANTS.items()}
    times = take_turns(calls, args.rounds)
    for name in VARIANTS:
        gain, least, most = ratios(times, name, "never")
        print(
            f"{name:28} {median(times[name]):7.1f} s, {gain:.2f} ({least:.2f} to {most:.2f}) "
            "times as fast as never"
        )
    end(args.json, {"machine": described, "seconds": times, "same": same})


if __name__ == "__main__":
    main()
