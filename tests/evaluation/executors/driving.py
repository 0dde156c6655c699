"""A driver to be killed: runs the toy in a process of its own, as the command would."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any

import torch

from bandlimiter.evaluation.executors import Executor, build_executor, run_shards
from bandlimiter.results.runs import RunStore, StoredRun
from tests.evaluation.executors.toy import Toy, plan

ROOT = Path(__file__).parents[3]


def run(folder: Path | None, toy: Toy, executor: Executor, shards: int, size: int = 2) -> RunStore:
    """Run, or go on, here; return the store, closed."""
    todo = plan(shards, size)
    with RunStore(folder, {"threads": executor.threads}, todo, settings={}) as store:
        run_shards(store, toy, executor)
    return store


def start(folder: Path, toy: Toy, executor: list[Any], shards: int) -> "subprocess.Popen[str]":
    """Start a driver; its stdout is one JSON document, as the command's."""
    told = {
        "folder": str(folder),
        "marks": str(toy.folder),
        "orders": [list(toy.orders.items()), list(toy.after.items())],
        "executor": executor,
        "shards": shards,
    }
    return subprocess.Popen(
        [sys.executable, "-m", __name__, json.dumps(told)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a terminal's group: Ctrl-C reaches all of it
    )


def until(holds: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Wait until something holds, and return it; a test that never sees it fails."""
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end, f"not within {seconds} seconds"
        time.sleep(0.02)
    return found


def marked(path: Path) -> int:
    """Wait for a mark; return the process that left it."""
    return int(until(lambda: path.exists() and path.read_text()))


def gone(process: int) -> bool:
    """Whether a process is dead, be it buried or not."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state in "ZX"


@contextmanager
def killing(*marks: Path) -> Iterator[None]:
    """Kill, once each, the processes that leave these marks meanwhile."""

    def kill(mark: Path) -> None:
        os.kill(marked(mark), signal.SIGKILL)

    killers = [Thread(target=kill, args=(mark,)) for mark in marks]
    for killer in killers:
        killer.start()
    yield
    for killer in killers:
        killer.join()


def descendants(ancestor: int) -> set[int]:
    """Return a process and all that descend from it."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended meanwhile
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    family = {ancestor}
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    return family


def shard_contents(folder: Path) -> dict[str, Any]:
    """Return all that a run's shards gave but their timings: rows, facts, files of arrays."""
    stored = StoredRun.open(folder)
    files = {path.name: path.read_bytes() for path in (folder / "shards").iterdir()}
    return {"rows": stored.rows(), "facts": [each.facts for each in stored.results()], **files}


def main(told: dict[str, Any]) -> None:
    torch.set_num_threads(1)
    marks = Path(told["marks"])
    toy = Toy(marks, *map(dict, told["orders"]))
    executor = build_executor(*told["executor"])
    with RunStore(
        Path(told["folder"]), {"threads": executor.threads}, plan(told["shards"]), settings={}
    ) as store:
        try:
            run_shards(store, toy, executor)
        except KeyboardInterrupt:
            sys.exit(130)
        print(json.dumps({"rows": len(store.rows())}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
