"""Every system call with which a process changes a folder: recorded, or the one it dies at.

SQLite writes in C, so Python's functions are the wrong place to look: `system_calls.c` stands
between the process and the C library.
"""

import ctypes
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

SOURCE = Path(__file__).with_suffix(".c")
_HEAD = re.compile(rb"(\w+)\t([^\t]*)\t([^\t]*)\t(-?\d+)\t(\d+)\n")


class Call(NamedTuple):
    """One call, with the bytes that it wrote."""

    name: str
    path: Path
    other: Path
    at: int
    data: bytes


def require_watched_process(tmp_path: Path) -> dict[str, str]:
    """Return the environment of processes that can be watched; skip where there can be none."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if sys.platform != "linux" or compiler is None:
        pytest.skip("needs Linux and a C compiler to stand between SQLite and the system")
    library = tmp_path / "system_calls.so"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl"], check=True
    )
    return {**os.environ, "LD_PRELOAD": str(library), "OMP_NUM_THREADS": "1"}


def watch(folder: Path, log: Path, number: int = -1, half: bool = False) -> None:
    """Record what this process does to a folder, and kill it at call ``number``."""
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    ctypes.CDLL(None).watch(os.fsencode(folder), ctypes.c_long(number), int(half), file)


def recorded(log: Path) -> Iterator[Call]:
    """Read what was recorded."""
    text, start = log.read_bytes(), 0
    while start < len(text):
        head = _HEAD.match(text, start)
        assert head is not None, "the log is not as system_calls.c writes it"
        name, path, other, at, size = head.groups()
        start = head.end() + int(size)
        paths = Path(os.fsdecode(path)), Path(os.fsdecode(other))
        yield Call(name.decode(), *paths, int(at), text[head.end() : start])


def forked(task: Callable[[], object]) -> int:
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


class WorstDisk:
    """What a power cut leaves of recorded calls: only what was synced, under synced names."""

    def __init__(self) -> None:
        self._now: dict[Path, bytearray | None] = {}
        self._kept: dict[Path, bytes | None] = {}
        self._synced: dict[
            int, bytes
        ] = {}  # by identity: a file keeps its content as it is renamed

    def apply(self, call: Call) -> None:
        """Let a call happen."""
        name, path = call.name, call.path
        if name == "mkdir":
            self._now[path] = None
        elif name == "create":
            self._now[path] = self._now.get(path) or bytearray()
            if isinstance(file := self._now[path], bytearray):
                file.clear()
        elif name == "unlink":
            self._now.pop(path, None)
        elif name == "rename":
            self._now[call.other] = self._now.pop(path)
        elif name == "sync" and self._now.get(path, None) is None:
            self._sync_names(path)
        else:
            file = self._now[path]
            assert isinstance(file, bytearray)
            if name == "write":
                file.extend(bytes(max(0, call.at - len(file))))
                file[call.at : call.at + len(call.data)] = call.data
            elif name == "truncate":
                file[call.at :] = bytes(max(0, call.at - len(file)))
            elif name == "sync":
                self._synced[id(file)] = bytes(file)
                if path in self._kept:
                    self._kept[path] = bytes(file)

    def write(self, base: Path, target: Path) -> None:
        """Write what would be left of ``base``."""
        target.mkdir()
        for path, content in sorted(self._kept.items()):
            if all(parent in self._kept for parent in path.parents if base in parent.parents):
                place = target / path.relative_to(base)
                if content is None:
                    place.mkdir()
                else:
                    place.write_bytes(content)

    def _sync_names(self, folder: Path) -> None:
        """A folder's names become durable; of a file under one, what was synced of its content."""
        for path in [path for path in self._kept if path.parent == folder]:
            if path not in self._now:
                del self._kept[path]
        for path, file in self._now.items():
            if path.parent == folder:
                self._kept[path] = None if file is None else self._synced.get(id(file), b"")
