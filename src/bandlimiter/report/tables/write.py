"""All tables of runs in a folder: CSV, LaTeX and JSON, and the rows themselves."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from bandlimiter.errors import ConfigurationError
from bandlimiter.report.tables.catalogue import tables_of
from bandlimiter.report.tables.study import Study
from bandlimiter.report.tables.to_csv import rows_csv, to_csv
from bandlimiter.report.tables.to_json import to_json
from bandlimiter.report.tables.to_latex import to_latex
from bandlimiter.results.files import write_whole


def write_tables(studies: Sequence[Study], folder: Path) -> list[Path]:
    """Write each run's tables into a folder of its own in ``folder``.

    Returns
    -------
    list of Path
        The files written: ``RUN/TABLE.csv``, ``.tex``, ``.json`` and ``RUN/rows.csv``.

    Raises
    ------
    ConfigurationError
        (a ValueError) where a folder cannot be made.
    OSError
        Where a file cannot be written.
    """
    files = []
    for study, name in zip(studies, file_names([study.name for study in studies]), strict=True):
        place = folder / name
        try:
            place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"expected a folder for tables that can be made, got {place} ({error.strerror}); "
                "name another one"
            ) from error
        for table in tables_of(study):
            files += [
                write_whole(place / f"{table.name}.csv", to_csv(table)),
                write_whole(place / f"{table.name}.tex", to_latex(table)),
                write_whole(
                    place / f"{table.name}.json", json.dumps(to_json(table), indent=2) + "\n"
                ),
            ]
        rows = [*study.rows, *study.failed] or study.records
        files.append(write_whole(place / "rows.csv", rows_csv(rows)))
    return files


def file_names(names: Sequence[str]) -> list[str]:
    """Return names that are safe in any folder, all different, like what was given.

    Examples
    --------
    >>> file_names(["a-1", "../../x", "a-1", ""])
    ['a-1', '.._.._x', 'a-1-2', 'run']
    """
    safe: list[str] = []
    for name in names:
        base = re.sub(r"[^A-Za-z0-9._-]+", "_", name)[:100]
        base = base if base.strip(".") else "run"
        number, own = 2, base
        while own in safe:
            number, own = number + 1, f"{base}-{number}"
        safe.append(own)
    return safe
