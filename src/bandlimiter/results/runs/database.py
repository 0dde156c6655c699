"""A run's database: one SQLite file with all but arrays, in which each shard has its own sum.

SQLite keeps what was committed, whole or not at all; the sums say whether it is still what was
written. Tables: ``run`` and ``run_copy`` (what the run is), ``shards`` (the plan), ``finished``
(what is done of it), ``rows`` (a column per field), ``timings``, ``documents``; and a view of
``findings``. See ``design/runs.md``.
"""

import errno
import hashlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bandlimiter.errors import InputError, LoadError
from bandlimiter.results.row_types import ROW_TYPES
from bandlimiter.results.runs.array_files import Sum
from bandlimiter.results.runs.columns import columns_of, pack_row, unpack_rows
from bandlimiter.results.runs.description import Description
from bandlimiter.results.runs.folder import unwritable
from bandlimiter.results.runs.shards import ShardResult

FORMAT = 2
"""``PRAGMA user_version``. Format 1 was Parquet and JSON lines."""

_PATIENCE = 30.0  # seconds that a reader waits for a writer's commit, or a writer for a reader
_NO_SHARD = -1  # of timings that belong to the run as a whole
_PAGE = 4096  # bytes; see https://www.sqlite.org/fileformat.html
_COUNT = 28  # where the first page has the number of pages

_RUN_TABLES = ("run", "run_copy")
"""Two, on pages of their own: without what the run is, no sum can be checked."""

_UNWRITABLE = {
    sqlite3.SQLITE_FULL: (errno.ENOSPC, "No space left on device"),
    sqlite3.SQLITE_READONLY: (errno.EROFS, ""),
    sqlite3.SQLITE_CANTOPEN: (errno.EACCES, ""),
    sqlite3.SQLITE_PERM: (errno.EACCES, ""),
    sqlite3.SQLITE_IOERR: (errno.EIO, ""),
    sqlite3.SQLITE_BUSY: (errno.EBUSY, ""),
}

_DAMAGED = (
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_ERROR,  # a table is not there, or has other columns
    sqlite3.SQLITE_FORMAT,
)

_TABLES = """
CREATE TABLE run (description TEXT, settings TEXT, sum TEXT);
CREATE TABLE shards (number INTEGER PRIMARY KEY, name TEXT, item TEXT, images TEXT,
    attempts INTEGER NOT NULL DEFAULT 0);
CREATE TABLE finished (shard INTEGER PRIMARY KEY, count INTEGER, facts TEXT, arrays TEXT, sum TEXT);
CREATE TABLE rows (id INTEGER PRIMARY KEY, shard INTEGER AS (id >> 32),
    place INTEGER AS (id & 4294967295), {columns});
CREATE TABLE timings (shard INTEGER, place INTEGER, timing TEXT, PRIMARY KEY (shard, place))
    WITHOUT ROWID;
CREATE TABLE documents (name TEXT PRIMARY KEY, document TEXT) WITHOUT ROWID;
CREATE TABLE run_copy (description TEXT, settings TEXT, sum TEXT);
CREATE VIEW findings AS SELECT shards.name AS shard, json_extract(value, '$.kind') AS kind,
    json_extract(value, '$.about') AS about, value AS finding
    FROM finished JOIN shards ON number = shard, json_each(facts, '$.findings');
PRAGMA user_version = {format};
"""


@dataclass(frozen=True)
class Kept:
    """A finished shard; its arrays lie in a file of this sum."""

    result: ShardResult
    arrays: Sum | None


class Database:
    """An open database of a run.

    Parameters
    ----------
    connection
        See `writing` and `reading`.
    where
        What to call it in errors.

    Attributes
    ----------
    description
        What the run is.

    Raises
    ------
    LoadError
        From all methods, where SQLite cannot read the file, with what to do; if it is of another
        format.
    OSError
        From those that write, where they cannot; nothing of what was to be written is there.
    """

    def __init__(self, connection: sqlite3.Connection, where: Path) -> None:
        self._connection, self._where = connection, where
        try:
            self.description = self._checked()
        except BaseException:
            connection.close()
            raise

    def _checked(self) -> Description:
        connection, where = self._connection, self._where
        with _explained(where):
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                raise sqlite3.DatabaseError("it holds no run")
            if version != FORMAT:
                raise LoadError(
                    f"expected run format {FORMAT} in {where}, got {version}; "
                    "read it with the version of bandlimiter that wrote it"
                )
            return self._described()

    def read(self, number: int) -> Kept | None:
        """Read a shard by its place in the plan; None where it was never finished.

        Raises
        ------
        LoadError
            Where it is not what was written.
        """
        with _explained(self._where):
            count, facts, arrays, total = (
                self._connection.execute(
                    "SELECT count, facts, arrays, sum FROM finished WHERE shard = ?", (number,)
                ).fetchone()
                or (None,) * 4
            )
            if total is None:
                return None
            cursor = self._connection.execute(
                "SELECT * FROM rows WHERE id BETWEEN ? AND ? ORDER BY id", _ids(number)
            )
            names = [column[0] for column in cursor.description[3:]]
            rows = [list(row[3:]) for row in cursor]
        name = self.description.shards[number].name
        if _sum(self.description.hash, name, count, rows, facts, arrays) != total:
            raise LoadError(f"expected the content of shard {name} as it was written, it changed")
        result = ShardResult(
            rows=unpack_rows(ROW_TYPES[self.description.rows], names, rows),
            facts=json.loads(str(facts)),
            timings=self.timings(number),
        )
        return Kept(result, None if arrays is None else Sum(*json.loads(arrays)))

    def write(
        self, number: int, result: ShardResult, write_arrays: Callable[[], Sum | None]
    ) -> Sum | None:
        """Keep a shard, in place of what was there; durable on return.

        Its arrays are written once the rest is known to fit, and before the rows that name them.

        Raises
        ------
        InputError
            If rows, facts or timings cannot be kept; nothing is written then.
        """
        row_type = ROW_TYPES[self.description.rows]
        rows = [pack_row(row) for row in result.rows]
        facts = as_json(dict(result.facts), "facts")
        timings = [as_json(dict(timing), "timings") for timing in result.timings]
        arrays = write_arrays()
        files = None if arrays is None else json.dumps(list(arrays))
        name = self.description.shards[number].name
        total = _sum(self.description.hash, name, len(rows), rows, facts, files)
        columns = ", ".join(("id", *row_type.model_fields))
        marks = ", ".join("?" * (1 + len(row_type.model_fields)))
        with self._transaction() as run:
            run.execute("DELETE FROM rows WHERE id BETWEEN ? AND ?", _ids(number))
            for table in ("timings", "finished"):
                run.execute(f"DELETE FROM {table} WHERE shard = ?", (number,))  # noqa: S608
            run.executemany(
                f"INSERT INTO rows ({columns}) VALUES ({marks})",  # noqa: S608 - names of fields
                ([_ids(number)[0] + place, *row] for place, row in enumerate(rows)),
            )
            run.executemany(
                "INSERT INTO timings VALUES (?, ?, ?)",
                ([number, place, timing] for place, timing in enumerate(timings)),
            )
            run.execute(
                "INSERT INTO finished VALUES (?, ?, ?, ?, ?)",
                (number, len(rows), facts, files, total),
            )
            run.execute("UPDATE shards SET attempts = 0 WHERE number = ?", (number,))
        return arrays

    def attempts(self) -> dict[int, int]:
        """Return how often work on shards was begun and ended in nothing, where it was."""
        with _explained(self._where):
            return dict(
                self._connection.execute("SELECT number, attempts FROM shards WHERE attempts > 0")
            )

    def set_attempts(self, number: int, attempts: int) -> None:
        """Keep how often work on a shard was begun; durable on return."""
        with self._transaction() as run:
            run.execute("UPDATE shards SET attempts = ? WHERE number = ?", (attempts, number))

    def set_settings(self, settings: Mapping[str, Any]) -> None:
        """Replace the settings."""
        text = as_json(dict(settings), "settings")
        total = _sum(self.description.text, text)
        with self._transaction() as run:
            for table in _RUN_TABLES:
                run.execute(f"UPDATE {table} SET settings = ?, sum = ?", (text, total))  # noqa: S608

    def add_timing(self, timing: Mapping[str, Any]) -> None:
        """Keep what something took that belongs to no shard."""
        text = as_json(dict(timing), "a timing")
        with self._transaction() as run:
            run.execute(
                "INSERT INTO timings SELECT ?, count(*), ? FROM timings WHERE shard = ?",
                (_NO_SHARD, text, _NO_SHARD),
            )

    def timings(self, number: int = _NO_SHARD) -> list[dict[str, Any]]:
        """Return the timings of a shard, or those that belong to none."""
        with _explained(self._where):
            found = self._connection.execute(
                "SELECT timing FROM timings WHERE shard = ? ORDER BY place", (number,)
            ).fetchall()
        return [timing for (text,) in found if (timing := _json(text)) is not None]

    def documents(self) -> dict[str, dict[str, Any]]:
        """Return JSON documents by name."""
        with _explained(self._where):
            found = self._connection.execute("SELECT name, document FROM documents ORDER BY name")
            return {name: json.loads(text) for name, text in found}

    def set_document(self, name: str, document: Mapping[str, Any]) -> None:
        """Keep a JSON document."""
        text = as_json(dict(document), "a document")
        with self._transaction() as run:
            run.execute("INSERT OR REPLACE INTO documents VALUES (?, ?)", (name, text))

    def to_bytes(self) -> bytes:
        """Return the content of the file."""
        return self._connection.serialize()

    def close(self) -> None:
        """Close the connection; again is harmless."""
        self._connection.close()

    def _described(self) -> Description:
        """Read the run's description; of its two copies, the first that is as it was written."""
        for table in _RUN_TABLES:
            with suppress(sqlite3.DatabaseError, UnicodeDecodeError):
                query = f"SELECT description, settings, sum FROM {table}"  # noqa: S608
                text, settings, total = self._connection.execute(query).fetchone() or (None,) * 3
                if _sum(text, settings) == total:
                    return Description.from_text(str(text), str(settings))
        raise sqlite3.DatabaseError("what the run is was changed")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with _explained(self._where, writes=True):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):  # SQLite has rolled back itself, on a full disk
                    self._connection.execute("ROLLBACK")
                raise


def new_database(description: Description) -> Database:
    """Return a database in memory that holds a run's description, and no shard that is finished."""
    connection = _connected(":memory:")
    row_type = ROW_TYPES[description.rows]
    connection.execute(f"PRAGMA page_size = {_PAGE}")
    connection.executescript(_TABLES.format(columns=columns_of(row_type), format=FORMAT))
    settings = as_json(description.settings, "settings")
    total = _sum(description.text, settings)
    for table in _RUN_TABLES:
        values = (description.text, settings, total)
        connection.execute(f"INSERT INTO {table} VALUES (?, ?, ?)", values)  # noqa: S608
    connection.executemany(
        "INSERT INTO shards (number, name, item, images) VALUES (?, ?, ?, ?)",
        [
            (number, shard.name, shard.item, json.dumps(shard.images))
            for number, shard in enumerate(description.shards)
        ],
    )
    return Database(connection, Path(":memory:"))


def writing(path: Path) -> Database:
    """Open a database to be written to; what a crash left half-done is rolled back."""
    with _explained(path, writes=True):
        connection = _connected(str(path))
        try:
            connection.execute("PRAGMA journal_mode = DELETE")
            connection.execute("PRAGMA synchronous = EXTRA")
            if (found := connection.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
                raise sqlite3.DatabaseError(" ".join(found.split()))
        except BaseException:
            connection.close()
            raise
    return Database(connection, path)


def reading(path: Path, mend: bool = False) -> Database:
    """Open a database to be read; ``mend`` rolls back in it what a crash left half-done."""
    mode = "rw" if mend else "ro"
    with _explained(path):
        # Not as_uri: of a network share it makes an authority, which SQLite refuses.
        connection = _connected(
            f"file:{quote(os.fsencode(path.absolute().as_posix()))}?mode={mode}", uri=True
        )
    return Database(connection, path)


def salvaged(path: Path) -> Iterator[Database]:
    """Open what is left of a damaged database, in memory, in each way in which that can be done.

    A file that was cut short is taken as it is. The first page, which says where all others
    belong, is the same in all runs with one kind of rows, so a new one's can stand in for it.
    """
    data = path.read_bytes()
    for first in (data[:_PAGE], *map(_first_page, ROW_TYPES)):
        connection = _connected(":memory:")
        whole = first + data[_PAGE : len(data) // _PAGE * _PAGE]
        with suppress(LoadError):
            with _explained(path):
                connection.deserialize(
                    whole[:_COUNT] + (len(whole) // _PAGE).to_bytes(4) + whole[_COUNT + 4 :]
                )
                # Else SQLite refuses a schema or a length that it finds wrong.
                connection.execute("PRAGMA writable_schema = ON")
            yield Database(connection, path)
        connection.close()


def _first_page(rows: str) -> bytes:
    empty = new_database(Description.of({}, [], {}, rows))
    try:
        return empty.to_bytes()[:_PAGE]
    finally:
        empty.close()


def _ids(shard: int) -> tuple[int, int]:
    """Return the first and the last id that a shard's rows can have.

    One number keeps the pages above the rows few: they lie scattered, and all below each are lost
    with it.
    """
    return shard << 32, (shard << 32) + 2**32 - 1


def as_json(value: Any, what: str) -> str:
    """Return JSON text; InputError where JSON cannot hold the value."""
    try:
        return json.dumps(value)
    except (TypeError, ValueError) as error:
        raise InputError(f"expected {what} that JSON can hold: {error}") from error


def _connected(name: str, uri: bool = False) -> sqlite3.Connection:
    # Transactions are begun by hand; whichever thread closes the run may do so.
    connection = sqlite3.connect(
        name, timeout=_PATIENCE, isolation_level=None, check_same_thread=False, uri=uri
    )
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    return connection


def _sum(*content: Any) -> str:
    """Return the SHA-256 of values as JSON; damage can turn any of them into bytes."""
    return hashlib.sha256(json.dumps(content, default=repr).encode()).hexdigest()


def _json(text: str) -> dict[str, Any] | None:
    """Read a JSON object; None for anything else: timings have no sum of their own."""
    try:
        found = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


@contextmanager
def _explained(where: Path, *, writes: bool = False) -> Iterator[None]:
    """Turn SQLite's errors into ours, of one line: what it cannot write, or not read."""
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError) as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
        if writes and code in _UNWRITABLE:
            number, reason = _UNWRITABLE[code]
            raise unwritable(OSError(number, reason or str(error), str(where))) from error
        if code not in _DAMAGED:
            raise LoadError(f"expected a run that can be read in {where}: {error}") from error
        raise LoadError(
            f"expected a run in {where}, it is damaged ({error}); bandlimiter runs recover "
            f"{where.parent} returns every shard that is whole"
        ) from error
