"""Files that studies leave in a folder: numbers as CSV and JSON, pictures beside them."""

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from bandlimiter.errors import ConfigurationError


def make_folder(path: Path) -> None:
    """Make the folder that a command writes to, before it does its work.

    Raises
    ------
    ConfigurationError
        (a ValueError) where it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"expected --out to name a folder that can be made, got {path} ({error.strerror}); "
            "name another one"
        ) from error


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Path:
    """Write a table, whole or not at all; floats in full, so that they read back the same."""
    with _whole(path) as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
    return path


def write_json(path: Path, document: dict[str, Any]) -> Path:
    """Write one JSON document, whole or not at all."""
    with _whole(path) as file:
        file.write(json.dumps(document, indent=2, allow_nan=False) + "\n")
    return path


@contextmanager
def _whole(path: Path) -> Iterator[TextIO]:
    """Open a file that takes the place of ``path`` once all is written, or leaves nothing."""
    part = path.with_name(path.name + ".part")
    try:
        with part.open("w", newline="") as file:
            yield file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
