"""Rows as JSON lines: appended by one process, set aside if unfinished, read back by number."""

import fcntl
import json
from itertools import count
from pathlib import Path
from typing import BinaryIO, TypeVar

from pydantic import BaseModel, ValidationError

from bandlimiter.errors import ConfigurationError, LoadError
from bandlimiter.results.files import locked

ROWS = "rows.jsonl"

_Line = TypeVar("_Line", bound=BaseModel)


def claim_folder(folder: Path, result: str) -> None:
    """Make the folder of a new run; ``result`` is the JSON file that a finished one has.

    Raises
    ------
    ConfigurationError
        (a ValueError) where it cannot be made, holds a finished run, which is not overwritten, or
        one that another process works on.
    """
    if folder.is_file() or ((folder / ROWS).exists() and _is_json(folder / result)):
        raise ConfigurationError(
            f"expected a new or empty folder for results, {folder} already holds a run or is "
            "a file; name another one"
        )
    if locked(folder / ROWS):
        raise ConfigurationError(
            f"expected a folder that nobody works in, another process writes to {folder / ROWS}; "
            "wait for it, or name another one"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"cannot write to {folder}: {error.strerror}") from error


def open_rows(folder: Path) -> BinaryIO:
    """Open new rows for this process alone; those of a run that did not end are set aside.

    They are then ``rows.jsonl.1`` and so on; without a whole line they are removed.
    """
    path = folder / ROWS
    if path.is_file() and b"\n" not in path.read_bytes():
        path.unlink()
    elif path.exists():
        names = (path.with_name(f"{ROWS}.{number}") for number in count(1))
        path.rename(next(name for name in names if not name.exists()))
    file = path.open("xb", buffering=0)
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


def read_lines(folder: Path, kind: type[_Line], name: str) -> list[_Line]:
    """Read a run's rows back as ``kind``, which messages call ``name``.

    Raises
    ------
    LoadError
        If there are none, or a line is not of that kind.
    """
    path = folder / ROWS
    if not path.is_file():
        raise LoadError(f"expected a run with {ROWS} in {folder}, found none")
    rows = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            rows.append(kind.model_validate_json(line))
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            raise LoadError(f"expected a {name} in line {number} of {path}: {reason}") from error
    return rows


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return True
