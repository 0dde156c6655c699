"""Files that studies leave in a folder: numbers as CSV and JSON, pictures beside them."""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bandlimiter.errors import ConfigurationError
from bandlimiter.results.files import write_whole


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
    table = io.StringIO(newline="")
    writer = csv.writer(table)
    writer.writerow(header)
    writer.writerows(rows)
    return write_whole(path, table.getvalue())


def write_json(path: Path, document: dict[str, Any]) -> Path:
    """Write one JSON document, whole or not at all."""
    return write_whole(path, json.dumps(document, indent=2, allow_nan=False) + "\n")
