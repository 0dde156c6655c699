"""Rows of a study in a file as they come, so that a stopped run goes on; and the time left."""

import json
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from bandlimiter.errors import ConfigurationError

Row = dict[str, Any]

_EVERY = 20.0
"""Seconds between two lines of progress."""


class Clock:
    """Says on stderr how much is done and how long the rest will take."""

    def __init__(self, what: str, total: int) -> None:
        self._what, self._total, self._done = what, total, 0
        self._started = self._said = time.monotonic()

    def step(self, count: int = 1) -> None:
        """Count ``count`` more as done."""
        self._done += count
        now = time.monotonic()
        if now - self._said < _EVERY and self._done < self._total:
            return
        self._said = now
        each = (now - self._started) / self._done
        left = each * (self._total - self._done)
        print(
            f"{self._what}: {self._done} of {self._total}, {each:.2f} s each, "
            f"{left / 60:.1f} min left",
            file=sys.stderr,
            flush=True,
        )


class Ledger:
    """One JSON row a line, each with a key.

    Parameters
    ----------
    path
        The file; rows that it holds are kept.
    settings
        What the rows depend on: noted in the first line, and refused where another one
        stands there.
    """

    def __init__(self, path: Path, settings: Row) -> None:
        self._path = path
        self.rows: dict[str, Row] = {}
        if not path.is_file():
            path.write_text(json.dumps(settings) + "\n")
        written = path.read_text()
        whole = written[: written.rfind("\n") + 1]  # a stop may have cut off the last row
        if whole != written:
            path.write_text(whole)
        first, *rows = map(json.loads, whole.splitlines())
        _compare(first, settings, path)
        self.rows = {row["key"]: row for row in rows}

    def fill(self, keys: Iterable[str], work: Callable[[int], Row], what: str) -> list[Row]:
        """Return a row for each key, in order; ``work(i)`` makes the i-th where it is missing."""
        keys = list(keys)
        missing = [i for i, key in enumerate(keys) if key not in self.rows]
        clock = Clock(what, len(missing))
        for i in missing:
            row = {"key": keys[i], **work(i)}
            with self._path.open("a") as file:
                file.write(json.dumps(row) + "\n")
            self.rows[keys[i]] = row
            clock.step()
        return [self.rows[key] for key in keys]


def require_same(path: Path, settings: Row) -> None:
    """Note in ``path`` what a folder's files depend on, and refuse another thing there."""
    if path.is_file():
        _compare(json.loads(path.read_text()), settings, path)
    path.write_text(json.dumps(settings, indent=1) + "\n")


def _compare(found: Row, expected: Row, path: Path) -> None:
    for key, value in expected.items():
        if found.get(key) != value:
            raise ConfigurationError(
                f"expected {key} = {found.get(key)!r}, as {path} was begun with, got {value!r}; "
                "give another --out"
            )
