"""Kills a run at every system call that changes its folder, and continues it each time.

    LD_PRELOAD=system_calls.so python -m tests.results.runs.killed FOLDER

Each point is a process of its own (forked, so that hundreds are affordable) that dies of SIGKILL
right after a call, which is before the next one, or in the middle of a write, when half of the
bytes are in the file. What is found wrong is printed, and at the end how much was tried.
"""

import json
import os
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bandlimiter.results.runs import RunStore, StoredRun, recover
from tests.results.runs.material import IDENTITY, PLAN, SETTINGS, harvest_of
from tests.results.runs.system_calls import forked, recorded, watch

RECOVERED = 3
"""Shards of a run that was cut short: rows lie before what its end holds."""


def opened(folder: Path) -> RunStore:
    return RunStore(folder, IDENTITY, PLAN, settings=SETTINGS)


def work(store: RunStore, note: Callable[[str], object] = lambda name: None) -> None:
    """Do what is missing, as a command does."""
    for shard in store.missing():
        store.begin(shard)
        store.put(shard, harvest_of(shard))
        note(shard.name)
    store.write_document("result.json", {"rows": len(store.rows())})


def whole_work(folder: Path) -> None:
    """Open a run and do it, as a command does."""
    with opened(folder) as store:
        work(store)


def killed_work(folder: Path, number: int, half: bool) -> list[str]:
    """Work until killed; return the shards whose putting had returned by then."""
    reading, writing = os.pipe()

    def task() -> None:
        watch(folder, folder.with_suffix(".log"), number, half)
        with opened(folder) as store:
            work(store, lambda name: os.write(writing, f"{name}\n".encode()))

    ended = forked(task)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        put = pipe.read().split()
    assert ended == -signal.SIGKILL, f"ended with {ended} and was not killed"
    return put


def continued(folder: Path, put: list[str]) -> None:
    """Check what the kill left, and finish the run."""
    if (folder / "run.sqlite").exists():
        before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        run = StoredRun.open(folder)
        assert run.state != "in use", "the lock outlived its holder"
        names = [shard.name for shard in run.shards]
        assert run.rows() == [
            row for shard in PLAN if shard.name in names for row in harvest_of(shard).rows
        ]
        after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        assert before == after, "reading changed something"
    with opened(folder) as store:
        assert not list(folder.rglob("*.tmp")), "temporary files are left"
        lost = [shard.name for shard in store.missing() if shard.name in put]
        assert not lost, f"put had returned for {lost}"
        work(store)


def contents(folder: Path) -> dict[str, Any]:
    """What must be the same whatever happened."""
    run = StoredRun.open(folder)
    return {
        "state": run.state,
        "rows": run.rows(),
        "facts": [result.facts for result in run.results()],
        "timings": run.timings(),
        "documents": run.documents,
        "files": {
            str(path.relative_to(folder)): path.read_bytes()
            for path in folder.rglob("*")
            if path.suffix in (".safetensors", ".json")
        },
        "names": sorted(path.name for path in folder.iterdir()),
    }


def unfinished(folder: Path) -> None:
    """A run that was killed before and damaged since: opening it has something to mend."""
    with RunStore(folder, IDENTITY, PLAN, settings={"workers": 2}) as store:
        for shard in PLAN[:2]:
            store.begin(shard)
            store.put(shard, harvest_of(shard))
        store.begin(PLAN[2])
    (folder / "shards" / f"{PLAN[0].name}.safetensors").write_bytes(b"half")
    (folder / "shards" / f".{PLAN[2].name}.safetensors.tmp").write_bytes(b"half")
    (folder / ".result.json.tmp").write_bytes(b"{")


def points(
    start: Path, scratch: Path, task: Callable[[Path], object]
) -> tuple[list[tuple[int, bool]], Counter[str]]:
    """Return the calls after which files differ, by number, and whether to die halfway.

    Syncs are left out: a killed process, unlike a power cut, takes nothing along that was written.
    """
    shutil.copytree(start, scratch)
    log = scratch.with_suffix(".log")

    def watched() -> None:
        watch(scratch, log)
        task(scratch)

    assert forked(watched) == 0
    calls = list(recorded(log))
    shutil.rmtree(scratch)
    found = [
        (number, half)
        for number, call in enumerate(calls)
        for half in ((True, False) if call.name == "write" else (False,))
        if call.name != "sync"
    ]
    return found, Counter(call.path.name for call in calls)


def cut_short(folder: Path) -> None:
    """A finished run whose database lacks its last pages, so that it must be recovered."""
    with opened(folder) as store:
        work(store)
    path = folder / "run.sqlite"
    path.write_bytes(path.read_bytes()[: -2 * 4096])


def try_recovery(folder: Path, number: int, half: bool) -> None:
    """Kill a recovery at one point; after another, all that was left is there, and can go on."""

    def doomed() -> None:
        watch(folder, folder.with_suffix(".log"), number, half)
        recover(folder)

    assert forked(doomed) == -signal.SIGKILL, "was not killed"
    before = (folder / "run.sqlite.damaged").is_file()

    def again() -> None:
        count, _ = recover(folder)
        run = StoredRun.open(folder)
        assert run.finished == count == RECOVERED, (before, count)
        assert run.rows() == [row for shard in run.shards for row in harvest_of(shard).rows]
        with opened(folder) as store:
            work(store)

    assert forked(again) == 0, "did not recover"


def try_point(folder: Path, number: int, half: bool, expected: dict[str, Any]) -> None:
    """Kill the run in a folder at one point, and continue it."""
    put = killed_work(folder, number, half)
    assert forked(lambda: continued(folder, put)) == 0, "did not continue"
    found = contents(folder)
    differ = [name for name in expected if found.get(name) != expected[name]]
    assert found == expected, f"differs in {differ}"


def main(base: Path) -> None:
    """Try every point of a new run, of a damaged one, and of a recovery."""
    with opened(base / "unbroken") as store:
        work(store)
    expected = contents(base / "unbroken")
    (base / "new").mkdir()
    unfinished(base / "damaged")
    cut_short(base / "cut")
    tasks = {"new": whole_work, "damaged": whole_work, "cut": recover}
    calls: Counter[str] = Counter()
    tried = wrong = 0
    for start in (base / "new", base / "damaged", base / "cut"):
        found, seen = points(start, base / "scratch", tasks[start.name])
        calls += seen
        for number, half in found:
            folder = base / f"{start.name}-{number}-{'half' if half else 'after'}"
            shutil.copytree(start, folder)
            tried += 1
            try:
                if start.name == "cut":
                    try_recovery(folder, number, half)
                else:
                    try_point(folder, number, half, expected)
            except Exception as error:  # noqa: BLE001 - to be counted, and the next point tried
                wrong += 1
                print(f"{folder.name}: {type(error).__name__}: {error}")
            else:
                shutil.rmtree(folder)
    said = {"tried": tried, "wrong": wrong}
    print(
        json.dumps({**said, "calls": {n: calls[n] for n in ("run.sqlite", "run.sqlite-journal")}})
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
