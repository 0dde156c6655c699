"""Draw what ``study.py`` found: survival over Square's queries, accuracy over the budget.

::

    python tools/attacks/draw.py --square "ResNet-20=runs/r20/square" \
        --budget "r = 6=runs/r20/r6" --out docs/robustness_curves

A curve is NAME=FOLDER, the folder one of a case; of the last ``--budget`` the plain model's
curve is drawn too, as "undefended". Prints medians.
"""

import argparse
import math
from pathlib import Path
from statistics import median

from bandlimiter.draw.robustness_curves import draw_robustness_curves
from bandlimiter.results import NONE, OURS, Row, read_rows


def rows_of(folder: Path, attack: str, defence: str) -> list[Row]:
    """Return a case's rows of one attack on one defence."""
    return [row for row in read_rows(folder) if (row.attack, row.defence) == (attack, defence)]


def named(texts: list[str]) -> dict[str, Path]:
    return {name: Path(folder) for name, _, folder in (text.rpartition("=") for text in texts)}


def say_queries(name: str, rows: list[Row]) -> None:
    """Print how many queries half of the images withstood."""
    attacked = [row for row in rows if row.defended_clean == row.label]
    spent = [row.queries if row.stage else math.inf for row in attacked]
    left = sum(row.stage is None for row in attacked)
    print(f"{name}: {left} of {len(rows)} images left, half lost after {median(spent)} queries")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--square", action="append", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--budget", action="append", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    by_queries: dict[str, list[Row]] = {}
    for name, folder in named(args.square).items():
        by_queries[name] = rows_of(folder, "cascade", OURS)
        by_queries[f"{name}, undefended"] = rows_of(folder, "cascade", NONE)
    by_budget = {
        name: rows_of(folder, "smallest", OURS) for name, folder in named(args.budget).items()
    }
    if args.budget:
        last = list(named(args.budget).values())[-1]
        by_budget = {"undefended": rows_of(last, "smallest", NONE), **by_budget}
    for name, rows in by_queries.items():
        say_queries(name, rows)
    for path in draw_robustness_curves(by_queries, by_budget, args.out):
        print(path)


if __name__ == "__main__":
    main()
