"""Kills `bandlimiter reproduce` at points all over its work, and gives the same command again.

    python -m tests.cli.killed_study FOLDER

The points are system calls that change files, counted over the whole command: shards, manifests,
documents, pictures. Each is a process of its own that ends itself with SIGKILL there.
"""

import json
import sys
from pathlib import Path
from typing import Any

# What commands import late is here before the processes part: each would import it again.
import pyarrow.parquet  # noqa: F401
import torch

import bandlimiter.cli.reproduce.studies  # noqa: F401
from bandlimiter.cli.main import app
from tests.results.runs.killed import Watch, forked

POINTS = 6
COMMAND = (
    *("reproduce", "figure2", "--limit", "2", "--shard-images", "1", "--attack", "deepfool"),
    *("--values", "3,6", "--quick", "--threads", "1", "--json", "--out"),
)


def command(folder: Path) -> None:
    """Give the command; what it prints is of no interest here."""
    sys.stdout = (folder.parent / "stdout").open("w")
    app([*COMMAND, str(folder)], standalone_mode=False)


def contents(folder: Path) -> dict[str, Any]:
    """Rows, images, documents and pictures: all that must not depend on what happened."""
    kept = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.parent.name == "shards"
        or path.suffix in (".png", ".svg", ".safetensors")
        or path.name in ("run.json", "result.json")
    }
    document = json.loads((folder / "figure2" / "figure2.json").read_text())
    for key in ("worker_seconds", "date"):
        del document["settings"][key]
    document["files"] = [Path(file).name for file in document["files"]]
    kept["manifests"] = {
        path.parent.name: sorted(path.read_text().splitlines())
        for path in folder.rglob("manifest.jsonl")
    }
    return {**kept, "document": document}


def calls(folder: Path) -> int:
    """Count the calls of an unbroken command that change files."""
    listed = folder.with_suffix(".calls")

    def task() -> None:
        watch = Watch()
        command(folder)
        number = len(watch.seen)
        listed.write_text(str(number))

    assert forked(task) == 0, (folder.parent / "stdout").read_text()
    return int(listed.read_text())


def try_point(folder: Path, number: int, moment: str) -> dict[str, Any]:
    """Kill a command at one point, give it again, and return what is there then."""

    def doomed() -> None:
        Watch(number, moment)
        command(folder)

    forked(doomed)  # SIGKILL, or, where half of a write was asked for and it was none, the end
    assert forked(lambda: command(folder)) == 0, "did not continue"
    return contents(folder)


def main(base: Path) -> None:
    """Try points spread over the whole command."""
    total = calls(base / "unbroken")
    expected = contents(base / "unbroken")
    tried = wrong = 0
    for i in range(POINTS):
        number, moment = int((i + 0.5) * total / POINTS), ("after", "half")[i % 2]
        found = try_point(base / f"point{i}", number, moment)
        differ = [name for name in expected if found.get(name) != expected[name]]
        tried, wrong = tried + 1, wrong + bool(differ or found != expected)
        if differ:
            print(f"killed {moment} call {number} of {total}: {differ}")
    print(json.dumps({"tried": tried, "wrong": wrong, "calls": total}))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
