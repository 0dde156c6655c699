"""Files that are there whole or not at all, and journals that lose at most their last line."""

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from bandlimiter.results.runs.layout import temporaries, temporary

_NEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
_MORE = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC


def write_file(path: Path, data: bytes) -> None:
    """Replace a file so that any crash leaves the old one or the new one; durable on return.

    Raises
    ------
    OSError
        Where it cannot be written, with a message of one line; the old file is as it was.
    """
    new = temporary(path)
    try:
        _write_new(new, data)
        new.replace(path)
        sync_folder(path.parent)
    except BaseException as error:
        with suppress(OSError):
            new.unlink()
        if isinstance(error, OSError):
            raise explained(error, path) from error
        raise


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
            before = os.fstat(file).st_size
            try:
                _write_all(file, (json.dumps(entry) + "\n").encode())
                os.fsync(file)
            except BaseException:
                os.ftruncate(file, before)
                raise
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
    """
    if not path.is_file():
        return [], False
    lines = path.read_bytes().split(b"\n")
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


def sync_folder(folder: Path) -> None:
    """Make names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def explained(error: OSError, path: Path) -> OSError:
    """Return an error of the same kind that says what is kept and what to do."""
    return OSError(
        error.errno,
        f"{error.strerror or error}: cannot write to this run; finished shards are kept, and the "
        "same command goes on from there once it can",
        str(path),
    )


def _write_new(path: Path, data: bytes) -> None:
    file = os.open(path, _NEW, 0o666)
    try:
        _write_all(file, data)
        os.fsync(file)
    finally:
        os.close(file)


def _write_all(file: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(file, left) :]
