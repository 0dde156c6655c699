"""Rows as JSON lines, written and flushed as they come."""

import json
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from bandlimiter.errors import ConfigurationError
from bandlimiter.results.lines import ROWS, claim_folder, read_lines
from bandlimiter.results.rows import Row

SETTINGS = "settings.json"
RESULT = "result.json"
TIMINGS = "timings.jsonl"


class RowWriter:
    """A run's directory while the run goes on.

    ``rows.jsonl`` holds what is compared between runs; seconds lie beside it, in
    ``timings.jsonl``. Whatever stops the run, the rows so far stay.

    Parameters
    ----------
    folder
        Made where it is missing; None keeps nothing on disk.

    Raises
    ------
    ConfigurationError
        If the folder already holds rows (they are not overwritten), cannot be made, or the
        settings cannot be written.
    """

    def __init__(self, folder: Path | None, settings: dict[str, Any]) -> None:
        self.folder = folder
        self.rows: list[Row] = []
        self._settings = settings
        self._rows: TextIO | None = None
        if folder is None:
            return
        try:
            json.dumps(settings)
        except TypeError as error:
            raise ConfigurationError(f"expected settings that JSON can hold: {error}") from error
        claim_folder(folder)

    def _open(self, folder: Path) -> TextIO:
        """Make the files with the first rows: a run that fails before leaves no trace."""
        rows = (folder / ROWS).open("x")
        self._timings = (folder / TIMINGS).open("w")
        self.write_document(SETTINGS, self._settings)
        return rows

    def add(self, rows: Iterable[Row]) -> None:
        """Append rows and flush them."""
        new = list(rows)
        self.rows.extend(new)
        if self.folder is not None:
            self._rows = self._rows or self._open(self.folder)
            self._rows.writelines(row.model_dump_json() + "\n" for row in new)
            self._rows.flush()

    def add_timing(self, **timing: Any) -> None:
        """Append what one batch took, after its rows."""
        if self._rows is not None:
            self._timings.write(json.dumps(timing) + "\n")
            self._timings.flush()

    def write_document(self, name: str, document: dict[str, Any]) -> None:
        """Write a JSON document beside the rows."""
        if self.folder is not None:
            (self.folder / name).write_text(json.dumps(document, indent=2) + "\n")

    def __enter__(self) -> "RowWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._rows is not None:
            self._rows.close()
            self._timings.close()


def read_rows(folder: Path) -> list[Row]:
    """Read a run's rows back.

    Raises
    ------
    LoadError
        If there are none, or a line is not a row.
    """
    return read_lines(folder, Row, "row")
