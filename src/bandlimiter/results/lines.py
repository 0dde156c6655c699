"""A run's folder and its JSON lines: claimed once, read back with the number of a bad line."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from bandlimiter.errors import ConfigurationError, LoadError

ROWS = "rows.jsonl"

_Line = TypeVar("_Line", bound=BaseModel)


def claim_folder(folder: Path) -> None:
    """Make the folder of a new run.

    Raises
    ------
    ConfigurationError
        (a ValueError) where it cannot be made or holds rows already, which are not overwritten.
    """
    if folder.is_file() or (folder / ROWS).exists():
        raise ConfigurationError(
            f"expected a new or empty folder for results, {folder} already holds a run or is "
            "a file; name another one"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"cannot write to {folder}: {error.strerror}") from error


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
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        try:
            rows.append(kind.model_validate_json(line))
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            raise LoadError(f"expected a {name} in line {number} of {path}: {reason}") from error
    return rows
