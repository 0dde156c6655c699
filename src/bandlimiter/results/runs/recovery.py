"""What is whole of a run whose database was damaged, as a run again."""

from contextlib import suppress
from functools import partial
from pathlib import Path

from bandlimiter.errors import LoadError
from bandlimiter.results.files import sync_folder, write_whole
from bandlimiter.results.runs.array_files import Sum
from bandlimiter.results.runs.database import Database, Kept, new_database, salvaged, writing
from bandlimiter.results.runs.folder import DATABASE, JOURNAL, SHARDS, require_run, unwritable
from bandlimiter.results.runs.lock import RunLock
from bandlimiter.results.runs.stored import opened_for_reading, read_shards


def recover(folder: Path) -> tuple[int, dict[str, str]]:
    """Put every shard whose sum holds into a new database, in place of the damaged one.

    That one is kept beside it as ``run.sqlite.damaged``. Shards that are left out are done again
    when the run's command is given again. A run that SQLite can read, and of which nothing more
    can be had, is left as it is: its command does again what is damaged in it.

    Parameters
    ----------
    folder
        The run's.

    Returns
    -------
    int
        How many shards are whole.
    dict
        Shards that are not, and were finished -> why.

    Raises
    ------
    LoadError
        If there is no run, or nothing says any more what it was.
    ConfigurationError
        If a process works on it.
    OSError
        If there is no room.
    """
    folder = Path(folder)
    path = require_run(folder)
    lock = RunLock(folder)
    try:
        readable = None
        with suppress(LoadError, OSError):
            writing(path).close()  # takes back a commit that was cut off, and checks all pages
            with opened_for_reading(folder) as database:
                readable = read_shards(database, folder)
        if readable is not None and not readable[1]:
            return len(readable[0]), {}
        new, kept, lost = _salvage(folder, path)
        try:
            if readable is not None and len(kept) <= len(readable[0]):
                return len(readable[0]), readable[1]
            _replace(folder, path, new.to_bytes())
        except OSError as error:
            raise unwritable(error) from error
        finally:
            new.close()
        return len(kept), lost
    finally:
        lock.release()


def _salvage(folder: Path, path: Path) -> tuple[Database, dict[str, Kept], dict[str, str]]:
    """Return a new database with what can be read, in any way in which the old one can be."""
    new: Database | None = None
    kept: dict[str, Kept] = {}
    lost: dict[str, str] = {}
    for database in salvaged(path):
        new = new or new_database(database.description)
        if database.description.hash != new.description.hash:
            continue
        found, reasons = read_shards(database, folder)
        for number, shard in enumerate(new.description.shards):
            if shard.name in found and shard.name not in kept:
                each = kept[shard.name] = found[shard.name]
                new.write(number, each.result, partial(_same, each.arrays))
        lost = reasons | lost
        with suppress(LoadError):
            for name, document in database.documents().items():
                new.set_document(name, document)
    if new is None:
        raise LoadError(
            f"expected a run in {path}, nothing in it says any more what it was; its arrays are "
            f"in {folder / SHARDS}"
        )
    return new, kept, {name: reason for name, reason in lost.items() if name not in kept}


def _replace(folder: Path, path: Path, content: bytes) -> None:
    """Put the new database in the old one's place, which stays beside it, whatever happens."""
    data, number = path.read_bytes(), 1
    damaged = path.with_name(f"{DATABASE}.damaged")
    while damaged.exists() and damaged.read_bytes() != data:
        number += 1
        damaged = path.with_name(f"{DATABASE}.damaged-{number}")
    write_whole(damaged, data)
    # SQLite would take the journal for the new database's.
    (folder / JOURNAL).unlink(missing_ok=True)
    sync_folder(folder)
    write_whole(path, content)


def _same(arrays: Sum | None) -> Sum | None:
    """Return the sum of arrays that are there already."""
    return arrays
