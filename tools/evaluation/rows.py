"""Three evaluations of the packaged model, row by row: what a change of the code must not move.

``write`` makes ``tools/evaluation/rows/NAME.csv``; ``compare`` makes them again and says which
rows differ, but for labels under other direction seeds (``--with-seeds``: these too). On one thread
of the same kind of processor all numbers are equal to the bit::

    OMP_NUM_THREADS=1 python tools/evaluation/rows.py compare
"""

import argparse
import csv
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from bandlimiter import PostAverage, load_data, load_model
from bandlimiter.evaluation import Adaptive, evaluate, read_adversarial
from bandlimiter.evaluation.reproduction import EXPERIMENTS, Study
from bandlimiter.report.tables.to_csv import rows_csv
from bandlimiter.results import Row, read_rows

KEPT = Path(__file__).parent / "rows"
SEEDS = ("other_seeds_clean", "other_seeds_adversarial")
IMAGES, DIRECTIONS = 12, 6


def made(folder: Path) -> dict[str, Sequence[Row]]:
    """Return the rows of each evaluation by name."""
    model, images = load_model("sample").module, load_data("sample", IMAGES)
    defence = PostAverage(model, radius=6, directions=DIRECTIONS)
    both = evaluate(
        model,
        defence,
        images,
        adaptive=Adaptive(steps=5, queries=40, curve=True),
        baselines=["one-neighbour"],
        quick=True,
        out=folder / "both",
        save_adversarial=True,
    )
    saved = read_adversarial(folder / "both" / "adversarial-pgd-fixed.safetensors")
    again = evaluate(model, defence, images, [saved], threat="transfer")
    study = Study(model, defence, images, folder / "sweep", quick=True)
    EXPERIMENTS["figure2"](study, ["fgsm", "pgd"], {}, [3.0, 6.0, 12.0])
    swept = [row for run in study.runs for row in read_rows(run)]
    return {"both": both.rows, "saved": again.rows, "sweep": swept}


def differing(before: str, after: str, ignored: Sequence[str]) -> list[str]:
    """Return a line for each cell that differs."""
    old, new = (list(csv.DictReader(text.splitlines())) for text in (before, after))
    found = [] if len(old) == len(new) else [f"{len(old)} rows before, {len(new)} after"]
    for place, (one, other) in enumerate(zip(old, new, strict=False)):
        names = [name for name in one if name not in ignored and one[name] != other.get(name)]
        found += [f"row {place}, {name}: {one[name]} -> {other.get(name)}" for name in names]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("write", "compare"))
    parser.add_argument("--with-seeds", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        found = {name: rows_csv(rows) for name, rows in made(Path(folder)).items()}
    KEPT.mkdir(exist_ok=True)
    bad = False
    for name, text in found.items():
        path = KEPT / f"{name}.csv"
        if args.what == "write":
            path.write_text(text)
            continue
        lines = differing(path.read_text(), text, () if args.with_seeds else SEEDS)
        bad = bad or bool(lines)
        rows = text.count("\n") - 1
        print(f"{name}: {rows} rows, {len(lines)} cells differ", *lines[:20], sep="\n  ")
    sys.exit(bad)


if __name__ == "__main__":
    main()
