"""The picture and the table of "Which defence when", from runs of ``bandlimiter evaluate``.

Keeps what it shows in ``docs/results/hardening/both_sides.json``, with names for readers::

    python tools/hardening/both_sides.py keep RUN --rename OLD=NEW ...
    python tools/hardening/both_sides.py show
"""

import argparse
import json
from pathlib import Path
from typing import Any

from bandlimiter.draw.plotting import save_figure
from bandlimiter.draw.robust_accuracy import draw_robust_accuracy
from bandlimiter.results.runs import StoredRun

KEPT = Path("docs/results/hardening/both_sides.json")
PICTURE = Path("docs/both_sides")


def keep(run: Path, renamed: dict[str, str]) -> None:
    """Write a run's document with other names, and its picture."""
    document: dict[str, Any] = StoredRun.open(run).documents["robustness.json"]
    asked = (
        "model",
        "sampler",
        "sigma",
        "vote",
        "votes",
        "samples",
        "alpha",
        "adaptive",
        "threads",
    )
    settings = document["settings"]
    kept = {
        "settings": {name: settings.get(name) for name in (*asked, "machine", "date")},
        "images": document["images"],
        "samples": document["samples"],
        "evaluations": named(document["evaluations"], renamed),
        "curves": named(document["curves"], renamed),
        "contradictions": document["contradictions"],
    }
    KEPT.write_text(json.dumps(kept, indent=1) + "\n")
    save_figure(draw_robust_accuracy(kept), PICTURE)


def named(entries: dict[str, Any], renamed: dict[str, str]) -> dict[str, Any]:
    return {renamed.get(name, name): entry for name, entry in entries.items()}


def show() -> None:
    """Print a line of Markdown per classifier and side."""
    document = json.loads(KEPT.read_text())
    for name, by_norm in document["curves"].items():
        for norm, key in (("l2", "certified"), ("l2", "attacked"), ("linf", "attacked")):
            points = [p for p in by_norm.get(norm, ()) if f"{key}_accuracy" in p]
            if points:
                unit = 1 if norm == "l2" else 255
                cells = [f"{unit * p['budget']:.3g}: {shown(p, key)}" for p in points]
                print(f"| {name}, {norm} {key} | " + " | ".join(cells) + " |")
    print("samples per certificate", document["samples"], "evaluations", document["evaluations"])
    print("contradictions", document["contradictions"])


def shown(point: dict[str, Any], key: str) -> str:
    low, high = point[f"{key}_accuracy_interval"]
    return f"{point[f'{key}_accuracy']:.3f} ({low:.2f}-{high:.2f})"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("keep", "show"))
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument("--rename", nargs="*", default=[], metavar="OLD=NEW")
    args = parser.parse_args()
    if args.what == "keep":
        keep(args.run, dict(text.rsplit("=", 1) for text in args.rename))
    else:
        show()
