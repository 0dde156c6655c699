"""Table 1 in two precisions, image by image: what fast copies change of the paper's rates.

``keep`` writes what one `bandlimiter reproduce table1 --precision ... --out DIR` found as a CSV, a
line per attack and image; ``compare`` sets two of them side by side, on the images of both::

    python tools/evaluation/precisions.py keep DIR auto.csv
    python tools/evaluation/precisions.py compare auto.csv float32.csv
"""

import argparse
import csv
from collections import defaultdict
from pathlib import Path

from bandlimiter.results import Row, Status
from bandlimiter.results.runs import StoredRun
from bandlimiter.results.statistics import rate

FIELDS = ("attack", "protocol", "image", "status", "defended_clean", "defended_adversarial", "linf")


def keep(folder: Path, path: Path) -> None:
    """Write the rows of the runs in which the defence answers."""
    rows: list[Row] = []
    for run in sorted(folder.glob("answers-*")):
        rows += StoredRun.open(run).rows()
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, FIELDS, lineterminator="\n")
        table.writeheader()
        for row in rows:
            cells = {name: getattr(row, name) for name in FIELDS}
            table.writerow({**cells, "status": row.status.value, "linf": f"{row.linf:.6g}"})


def compare(first: Path, second: Path) -> None:
    """Print each attack's defence rates on the common images, and how many statuses differ."""
    one, other = read(first), read(second)
    for attack in one:
        common = sorted(one[attack].keys() & other.get(attack, {}).keys())
        if not common:
            continue
        print(f"{attack[0]}, {attack[1]}: {len(common)} images")
        for name, rows in ((first.stem, one[attack]), (second.stem, other[attack])):
            statuses = [rows[image]["status"] for image in common]
            kept = statuses.count(Status.DEFENDED.value)
            found = kept + statuses.count(Status.BROKEN.value)
            value, low, high = rate(kept, found)
            print(f"  {name}: {kept}/{found} = {value or 0:.4f} ({low or 0:.3f}-{high or 1:.3f})")
        differ = [i for i in common if one[attack][i]["status"] != other[attack][i]["status"]]
        labels = [
            i
            for i in common
            if one[attack][i]["defended_clean"] != other[attack][i]["defended_clean"]
        ]
        print(f"  other statuses: {len(differ)} {differ[:10]}; other clean labels: {len(labels)}")


def read(path: Path) -> dict[tuple[str, str], dict[int, dict[str, str]]]:
    """Return rows by attack and image."""
    found: dict[tuple[str, str], dict[int, dict[str, str]]] = defaultdict(dict)
    with path.open() as file:
        for row in csv.DictReader(file):
            found[row["attack"], row["protocol"]][int(row["image"])] = row
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("keep", "compare"))
    parser.add_argument("paths", type=Path, nargs=2)
    args = parser.parse_args()
    (keep if args.what == "keep" else compare)(*args.paths)
