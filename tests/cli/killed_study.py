"""Kills `bandlimiter reproduce` at points all over its work, and gives the same command again.

    LD_PRELOAD=system_calls.so python -m tests.cli.killed_study FOLDER

The points are system calls that change files, counted over the whole command: databases, arrays,
documents, pictures. Each is a process of its own that ends itself with SIGKILL there.
"""

import json
import signal
import sys
from pathlib import Path
from typing import Any

# What commands import late is here before the processes part: each would import it again.
import torch

import bandlimiter.cli.reproduce.studies  # noqa: F401
from bandlimiter.cli.main import app
from bandlimiter.results.runs import StoredRun, find_runs
from tests.results.runs.system_calls import forked, recorded, watch

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
    kept: dict[str, Any] = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.suffix in (".png", ".svg", ".safetensors")
    }
    for path in find_runs(folder):
        run = StoredRun.open(path)
        assert run.state == "done"
        kept[path.name] = run.identity, run.rows(), [each.facts for each in run.results()]
    document = json.loads((folder / "figure2" / "figure2.json").read_text())
    for key in ("worker_seconds", "date"):
        del document["settings"][key]
    document["files"] = [Path(file).name for file in document["files"]]
    return {**kept, "document": document}


def calls(folder: Path) -> int:
    """Count the calls of an unbroken command that change files."""
    log = folder.with_suffix(".log")

    def task() -> None:
        watch(folder, log)
        command(folder)

    assert forked(task) == 0, (folder.parent / "stdout").read_text()
    return sum(1 for _ in recorded(log))


def try_point(folder: Path, number: int, half: bool) -> dict[str, Any]:
    """Kill a command at one point, give it again, and return what is there then."""

    def doomed() -> None:
        watch(folder, folder.with_suffix(".log"), number, half)
        command(folder)

    assert forked(doomed) == -signal.SIGKILL, "was not killed"
    assert forked(lambda: command(folder)) == 0, "did not continue"
    return contents(folder)


def main(base: Path) -> None:
    """Try points spread over the whole command."""
    total = calls(base / "unbroken")
    expected = contents(base / "unbroken")
    tried = wrong = 0
    for i in range(POINTS):
        number, half = int((i + 0.5) * total / POINTS), bool(i % 2)
        found = try_point(base / f"point{i}", number, half)
        differ = [name for name in expected if found.get(name) != expected[name]]
        tried, wrong = tried + 1, wrong + bool(differ or found != expected)
        if differ:
            print(f"killed at call {number} of {total}: {differ}")
    print(json.dumps({"tried": tried, "wrong": wrong, "calls": total}))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
