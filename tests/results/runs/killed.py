"""Kills a run at every system call that changes its folder, and continues it each time.

    python -m tests.results.runs.killed FOLDER

Each point is a process of its own (forked, so that a hundred are affordable) that kills itself with
SIGKILL right after a call, which is before the next one, or in the middle of a write, when half of
the bytes are in the file. What is found wrong is printed, and at the end how much was tried.
"""

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bandlimiter.results.runs import RunStore, StoredRun
from tests.results.runs.material import IDENTITY, PLAN, SETTINGS, harvest_of

CALLS = ("open", "write", "fsync", "replace", "ftruncate", "unlink", "mkdir")


def opened(folder: Path) -> RunStore:
    return RunStore(folder, IDENTITY, PLAN, settings=SETTINGS)


def work(store: RunStore, note: Callable[[str], object] = lambda name: None) -> None:
    """Do what is missing, as a command does."""
    for shard in store.missing():
        store.begin(shard)
        store.put(shard, harvest_of(shard))
        note(shard.name)
    store.write_document("result.json", {"rows": len(store.rows())})


class Watch:
    """Counts the system calls of this process that change files, and dies at one of them."""

    def __init__(self, number: int | None = None, moment: str = "after") -> None:
        self.seen: list[str] = []
        self._number, self._moment = number, moment
        for name in CALLS:
            setattr(os, name, self._wrapped(name, getattr(os, name)))

    def _wrapped(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **kwargs: Any) -> Any:
            if name == "open" and not args[1] & os.O_CREAT:
                return call(*args, **kwargs)  # reading changes nothing
            here = len(self.seen) == self._number
            self.seen.append(name)
            if here and self._moment == "half":
                call(args[0], bytes(args[1])[: len(args[1]) // 2])
                die()
            try:
                return call(*args, **kwargs)
            finally:
                if here:
                    die()

        return watched


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def forked(task: Callable[[], None]) -> int:
    """Run a task in a process of its own; return how it ended (a negative signal's number)."""
    child = os.fork()
    if child == 0:
        try:
            task()
        except BaseException as error:  # noqa: BLE001 - whatever it is, the parent must hear of it
            print(f"{type(error).__name__}: {error}", flush=True)
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed_work(folder: Path, number: int, moment: str) -> list[str]:
    """Work until killed; return the shards whose putting had returned by then."""
    reading, writing = os.pipe()
    write = os.write  # unwatched

    def task() -> None:
        Watch(number, moment)
        with opened(folder) as store:
            work(store, lambda name: write(writing, f"{name}\n".encode()))

    ended = forked(task)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        put = pipe.read().split()
    assert ended == -signal.SIGKILL, f"ended with {ended} and was not killed"
    return put


def continued(folder: Path, put: list[str]) -> None:
    """Check what the kill left, and finish the run."""
    if (folder / "run.json").exists():
        run = StoredRun.open(folder)
        assert run.state != "in use", "the lock outlived its holder"
        names = [shard.name for shard in run.shards]
        assert run.rows() == [
            row for shard in PLAN if shard.name in names for row in harvest_of(shard).rows
        ]
    with opened(folder) as store:
        assert not list(folder.rglob("*.tmp")), "temporary files are left"
        lost = [shard.name for shard in store.missing() if shard.name in put]
        assert not lost, f"put had returned for {lost}"
        work(store)


def contents(folder: Path) -> dict[str, Any]:
    """What must be the same whatever happened: shards' bytes, and lines in any order."""
    return {
        **{path.name: path.read_bytes() for path in (folder / "shards").iterdir()},
        **{
            name: sorted((folder / name).read_text().splitlines())
            for name in ("manifest.jsonl", "timings.jsonl")
        },
        **{name: (folder / name).read_bytes() for name in ("run.json", "result.json")},
        "names": sorted(path.name for path in folder.iterdir()),
    }


def mess(folder: Path) -> None:
    """A run that was killed before and damaged since: opening it has everything to mend."""
    with RunStore(folder, IDENTITY, PLAN, settings={"workers": 2}) as store:
        for shard in PLAN[:2]:
            store.begin(shard)
            store.put(shard, harvest_of(shard))
        store.begin(PLAN[2])
    (folder / "shards" / f"{PLAN[0].name}.parquet").write_bytes(b"PAR1")
    (folder / "shards" / f".{PLAN[2].name}.parquet.tmp").write_bytes(b"half")
    (folder / ".result.json.tmp").write_bytes(b"{")
    for name in ("manifest.jsonl", "timings.jsonl", "attempts.jsonl"):
        with (folder / name).open("a") as file:
            file.write('{"shard": "0002-f')


def points(start: Path, scratch: Path, opening: bool) -> list[tuple[int, str]]:
    """Return the calls after which files differ, by number, with the moments at which to die.

    Of a damaged run only those of `opening` it: what follows is what a new run does.

    fsync is left out: a killed process, unlike a power cut, takes nothing along that was written.
    """
    listed = scratch.with_suffix(".calls")
    shutil.copytree(start, scratch)

    def task() -> None:
        watch = Watch()
        with opened(scratch) as store:
            if not opening:
                work(store)
        seen = list(watch.seen)
        listed.write_text("\n".join(seen))

    assert forked(task) == 0
    shutil.rmtree(scratch)
    return [
        (number, moment)
        for number, name in enumerate(listed.read_text().split())
        for moment in (("half", "after") if name == "write" else ("after",))
        if name != "fsync"
    ]


def try_point(folder: Path, number: int, moment: str, expected: dict[str, Any]) -> None:
    """Kill the run in a folder at one point, and continue it."""
    put = killed_work(folder, number, moment)
    assert forked(lambda: continued(folder, put)) == 0, "did not continue"
    found = contents(folder)
    differ = [name for name in expected if found.get(name) != expected[name]]
    assert found == expected, f"differs in {differ}"


def main(base: Path) -> None:
    """Try every point of a new run and of a damaged one."""
    with opened(base / "unbroken") as store:
        work(store)
    expected = contents(base / "unbroken")
    (base / "new").mkdir()
    mess(base / "damaged")
    tried = wrong = 0
    for start in (base / "new", base / "damaged"):
        for number, moment in points(start, base / "scratch", opening=start.name == "damaged"):
            folder = base / f"{start.name}-{number}-{moment}"
            shutil.copytree(start, folder)
            tried += 1
            try:
                try_point(folder, number, moment, expected)
            except Exception as error:  # noqa: BLE001 - to be counted, and the next point tried
                wrong += 1
                print(f"{folder.name}: {type(error).__name__}: {error}")
            else:
                shutil.rmtree(folder)
    print(json.dumps({"tried": tried, "wrong": wrong}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
