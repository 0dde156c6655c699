"""A run as readers find it: nothing is written, and nobody is kept from working on it."""

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel

from bandlimiter.errors import LoadError
from bandlimiter.results.row_types import ROW_TYPES
from bandlimiter.results.runs.array_files import read_arrays
from bandlimiter.results.runs.database import Database, Kept, reading
from bandlimiter.results.runs.description import Description
from bandlimiter.results.runs.folder import DATABASE, JOURNAL, require_run
from bandlimiter.results.runs.lock import in_use
from bandlimiter.results.runs.shards import Shard, ShardResult

State = Literal["done", "unfinished", "in use"]


@dataclass(frozen=True)
class StoredRun:
    """What a folder held when it was opened.

    Attributes
    ----------
    folder
        The run's.
    state
        ``in use`` while a process works on it, else ``done`` or ``unfinished``.
    damaged
        How many shards are not as they were written: they are left out here, and done again when
        the run is continued.
    documents
        JSON documents by name, such as ``result.json``.
    """

    folder: Path
    state: State
    damaged: int
    documents: dict[str, dict[str, Any]]
    _description: Description
    _kept: dict[str, Kept]
    _noted: list[dict[str, Any]]

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Read and verify a run.

        Raises
        ------
        LoadError
            If there is none in the folder, it is of another format, or its database is damaged.
        """
        folder = Path(folder)
        with opened_for_reading(folder) as database:
            kept, reasons = read_shards(database, folder)
            documents, noted = database.documents(), database.timings()
            description = database.description
        done = len(kept) == len(description.shards)
        state: State = "in use" if in_use(folder) else "done" if done else "unfinished"
        return cls(folder, state, len(reasons), documents, description, kept, noted)

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.resolve().name

    @property
    def kind(self) -> str:
        """``identity["kind"]``, or "run" where the identity has none."""
        return str(self.identity.get("kind", "run"))

    @property
    def hash(self) -> str:
        """SHA-256 over identity and plan."""
        return self._description.hash

    @property
    def identity(self) -> dict[str, Any]:
        """All that changes the results, but for the plan."""
        return self._description.identity

    @property
    def settings(self) -> dict[str, Any]:
        """Whatever else the run's command wanted readers to know."""
        return self._description.settings

    @property
    def shards(self) -> list[Shard]:
        """The finished shards, in the order of the plan."""
        return [shard for shard in self._description.shards if shard.name in self._kept]

    @property
    def finished(self) -> int:
        """How many shards are finished and whole."""
        return len(self._kept)

    @property
    def planned(self) -> int:
        """How many shards there are in all."""
        return len(self._description.shards)

    def rows(self) -> list[Any]:
        """Return the rows of all finished shards, in the order of the plan.

        They are of `row_type`: `Row`, in runs of ``certify`` and ``tune`` `CertifiedRow` and
        `TunedRow`.
        """
        return [row for shard in self.shards for row in self._kept[shard.name].result.rows]

    @property
    def row_type(self) -> type[BaseModel]:
        """The class of its rows."""
        return ROW_TYPES[self._description.rows]

    @property
    def failed(self) -> list[Any]:
        """The rows of images on which work ended in an error."""
        return [row for row in self.rows() if getattr(row, "error", None) is not None]

    def results(self) -> Iterator[ShardResult]:
        """Read what finished shards gave, one at a time, in the order of `shards`."""
        for shard in self.shards:
            yield self.result(shard)

    def result(self, shard: Shard) -> ShardResult:
        """Read what one finished shard gave.

        Raises
        ------
        KeyError
            If it is not one of `shards`.
        LoadError
            If its arrays were damaged since the run was opened.
        """
        kept = self._kept[shard.name]
        if kept.arrays is None:
            return kept.result
        arrays = read_arrays(self.folder, self.hash, shard.name, kept.arrays)
        return replace(kept.result, arrays=arrays)

    def timings(self) -> list[dict[str, Any]]:
        """Return the timings of finished shards, each with ``shard``, in the order of `shards`.

        After them those of the run as a whole, without.
        """
        shards = [
            {**timing, "shard": shard.name}
            for shard in self.shards
            for timing in self._kept[shard.name].result.timings
        ]
        return shards + self._noted


@contextmanager
def opened_for_reading(folder: Path) -> Iterator[Database]:
    """Yield a run's database, open for reading only; see `reading`.

    Where its last command was killed in a commit, that is taken back in a temporary copy.
    """
    path = require_run(folder)
    journal = folder / JOURNAL
    with tempfile.TemporaryDirectory(prefix="bandlimiter-") as copies:
        try:
            database = reading(path)
        except LoadError:  # SQLite will not mend what it may not write
            if not journal.is_file():
                raise
            for each in (path, journal):
                shutil.copy(each, copies)
            database = reading(Path(copies) / DATABASE, mend=True)
        try:
            yield database
        finally:
            database.close()


def read_shards(database: Database, folder: Path) -> tuple[dict[str, Kept], dict[str, str]]:
    """Return the finished shards that are as they were written, and why others are not."""
    kept, reasons = {}, {}
    for number, shard in enumerate(database.description.shards):
        try:
            found = database.read(number)
            if found is None:
                continue
            if found.arrays is not None:
                read_arrays(folder, database.description.hash, shard.name, found.arrays)
        except LoadError as error:
            unreadable = isinstance(error.__cause__, sqlite3.Error)
            said = f"SQLite cannot read it: {error.__cause__}" if unreadable else str(error)
            reasons[shard.name] = said
        else:
            kept[shard.name] = found
    return kept, reasons
