"""Files that studies leave in a folder: numbers as CSV and JSON, pictures beside them."""

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Path:
    """Write a table; floats in full, so that reading them gives the same numbers."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
    return path


def write_json(path: Path, document: dict[str, Any]) -> Path:
    """Write one JSON document."""
    path.write_text(json.dumps(document, indent=2, allow_nan=False) + "\n")
    return path
