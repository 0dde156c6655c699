"""A run's files: whole or not at all, and journals that lose at most their last line."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bandlimiter.errors import LoadError
from bandlimiter.results.files import append, write_whole
from bandlimiter.results.runs.layout import temporaries

_MORE = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC


def write_file(path: Path, data: bytes) -> None:
    """Replace a run's file; see `write_whole`.

    Raises
    ------
    OSError
        Where it cannot be written, with a message of one line; the old file is as it was.
    """
    try:
        write_whole(path, data)
    except OSError as error:
        raise explained(error, path) from error


def append_line(path: Path, entry: Mapping[str, Any]) -> None:
    """Append a JSON line; durable on return. What a failure wrote of it is cut off again.

    Raises
    ------
    OSError
        Where it cannot be written, with a message of one line.
    """
    try:
        file = os.open(path, _MORE, 0o666)
        try:
            append(file, (json.dumps(entry) + "\n").encode())
        finally:
            os.close(file)
    except OSError as error:
        raise explained(error, path) from error


def write_lines(path: Path, entries: Iterable[Mapping[str, Any]]) -> None:
    """Replace a journal, as `write_file` does."""
    write_file(path, "".join(json.dumps(entry) + "\n" for entry in entries).encode())


def read_lines(path: Path) -> tuple[list[Any], bool]:
    """Return a journal's JSON values, and whether there was nothing else in it.

    A torn last line and lines that are not JSON are left out; a missing file has none.

    Raises
    ------
    LoadError
        Where it is there and cannot be read.
    """
    if not path.is_file():
        return [], False
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise LoadError(f"cannot read {path} ({error.strerror})") from error
    entries = []
    whole = lines.pop() == b""  # a last line without its end is torn, even if it looks complete
    for line in lines:
        try:
            entries.append(json.loads(line))
        except (ValueError, RecursionError):
            whole = False
    return entries, whole


def sweep(folder: Path) -> None:
    """Remove the temporary files that a crash has left in a folder."""
    for path in temporaries(folder):
        path.unlink(missing_ok=True)


def explained(error: OSError, path: Path) -> OSError:
    """Return an error of the same kind that says what is kept and what to do."""
    return OSError(
        error.errno,
        f"{error.strerror or error}: cannot write to this run; finished shards are kept, and the "
        "same command goes on from there once it can",
        str(path),
    )
