"""A run that is being worked on: what was put survives anything, and is found again."""

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydantic import BaseModel

from bandlimiter.errors import ConfigurationError
from bandlimiter.results.files import write_whole
from bandlimiter.results.rows import Row
from bandlimiter.results.runs.array_files import Sum, read_arrays, write_arrays
from bandlimiter.results.runs.database import Database, Kept, as_json, new_database, writing
from bandlimiter.results.runs.description import Description
from bandlimiter.results.runs.folder import (
    DATABASE,
    HOLDER,
    SHARDS,
    claim_folder,
    on_network,
    sweep,
    unwritable,
)
from bandlimiter.results.runs.identity import plain_name
from bandlimiter.results.runs.lock import RunLock
from bandlimiter.results.runs.shards import Arrays, Shard, ShardResult
from bandlimiter.results.runs.stored import read_shards


class RunStore:
    """A run while it goes on: one process has it, and what it put survives anything.

    Whatever kills the process, a shard is there whole or not at all; opening the same run again
    goes on from there. What was edited or deleted meanwhile is found by its sum when the run is
    opened, and is `missing` again.

    Parameters
    ----------
    folder
        The run's; made where it is missing. None keeps everything in memory.
    identity
        All that changes the results (JSON): weights, data, parameters, seed, versions, threads.
        The shard plan is added by the store.
    shards
        The plan, in the order that rows are wanted in.
    settings
        Whatever a reader wants to know besides (JSON). Replaced on continuing; no part of the
        identity.
    rows
        The class of its rows, one of `ROW_TYPES`.

    Attributes
    ----------
    redone
        Name of a shard that is to be done again -> why what was found of it does not count.

    Raises
    ------
    ConfigurationError
        If another process has the run, the folder holds another run (the message names what
        differs) or other files, is a link or read-only, or names are not plain.
    LoadError
        If the run that it holds cannot be read; the message says how to get back what is whole.
    OSError
        If it cannot be written, such as on a full disk; also from each method that writes.

    Examples
    --------
    >>> shard = Shard("first", "fgsm", (0, 1))
    >>> with RunStore(None, {"seed": 0}, [shard], settings={}) as store:
    ...     store.put(shard, ShardResult(facts={"tried": 2}))
    ...     store.missing(), store.facts(shard)
    ([], {'tried': 2})
    """

    def __init__(
        self,
        folder: Path | None,
        identity: Mapping[str, Any],
        shards: Sequence[Shard],
        *,
        settings: Mapping[str, Any],
        rows: type[BaseModel] = Row,
    ) -> None:
        self.folder = None if folder is None else Path(folder)
        self.shards = tuple(shards)
        self.redone: dict[str, str] = {}
        self._description = Description.of(identity, self.shards, settings, rows.__name__)
        self._numbers = {shard.name: number for number, shard in enumerate(self.shards)}
        self._kept: dict[str, Kept] = {}
        self._attempts = dict.fromkeys(self._numbers, 0)
        self._timings: list[Mapping[str, Any]] = []
        self._lock: RunLock | None = None
        self._database: Database | None = None
        if self.folder is not None:
            self._open(self.folder)

    def missing(self) -> list[Shard]:
        """Return the shards that are still to be done, in the order of the plan."""
        return [shard for shard in self.shards if shard.name not in self._kept]

    def attempts(self, shard: Shard) -> int:
        """Return how many starts ended in neither `put` nor `release`.

        Whoever worked on the shard then died, maybe of it.
        """
        return self._attempts[self._known(shard)]

    def begin(self, shard: Shard) -> int:
        """Note durably that work on a shard starts; return its `attempts` before."""
        before = self.attempts(shard)
        self._note(shard, before + 1)
        return before

    def release(self, shard: Shard) -> None:
        """Note that work on a shard was given up in good order: the shard is not to blame."""
        self._note(shard, max(0, self.attempts(shard) - 1))

    def put(self, shard: Shard, result: ShardResult) -> None:
        """Keep what a shard gave; durable on return. A shard is put once.

        Raises
        ------
        ConfigurationError
            If the shard is not of the plan, or is finished.
        InputError
            If it cannot be kept: no JSON, no arrays of numbers, NaN in a row, numbers beyond 64
            bits.
        OSError
            If there is no room; the run then goes on as if nothing had been put.
        """
        name = self._known(shard)
        if name in self._kept:
            raise ConfigurationError(f"expected a shard that is missing, {name!r} is finished")
        total = None
        if self.folder is not None:
            write = partial(self._write_arrays, name, result.arrays)
            total = self._writable().write(self._numbers[name], result, write)
            result = replace(result, arrays={})
        facts = json.loads(as_json(dict(result.facts), "facts"))
        self._kept[name] = Kept(replace(result, rows=list(result.rows), facts=facts), total)
        self._attempts[name] = 0

    def forget(self, shard: Shard) -> None:
        """Make a finished shard `missing` again; what it gave stays in the folder until `put`."""
        del self._kept[self._known(shard)]

    def note(self, timing: Mapping[str, Any]) -> None:
        """Keep what something took that belongs to no shard (JSON); see `timings`."""
        if self.folder is not None:
            self._writable().add_timing(timing)
        self._timings.append(dict(timing))

    def timings(self) -> list[Mapping[str, Any]]:
        """Return the timings of all finished shards, and what was noted."""
        shards = [timing for kept in self._kept.values() for timing in kept.result.timings]
        return [*shards, *self._timings]

    def rows(self) -> list[Any]:
        """Return the rows of all finished shards, in the order of the plan."""
        kept = (self._kept[shard.name] for shard in self.shards if shard.name in self._kept)
        return [row for each in kept for row in each.result.rows]

    def result(self, shard: Shard) -> ShardResult:
        """Return what a finished shard gave, its arrays read back.

        Raises
        ------
        ConfigurationError
            If it is not finished.
        LoadError
            If the file of its arrays was damaged since the run was opened.
        """
        return replace(self._finished(shard).result, arrays=self.arrays(shard))

    def facts(self, shard: Shard) -> Mapping[str, Any]:
        """Return a finished shard's facts."""
        return self._finished(shard).result.facts

    def arrays(self, shard: Shard) -> Arrays:
        """Return a finished shard's arrays; raises as `result` does."""
        kept = self._finished(shard)
        if self.folder is None or kept.arrays is None:
            return kept.result.arrays
        return read_arrays(self.folder, self._description.hash, shard.name, kept.arrays)

    def write_document(self, name: str, document: Mapping[str, Any]) -> None:
        """Keep JSON in the database and as a file beside it; no part of the identity.

        Parameters
        ----------
        name
            Such as ``result.json``.
        document
            JSON.
        """
        if not plain_name(name, "name of a document").endswith(".json") or name == HOLDER:
            raise ConfigurationError(
                f"expected a document's name that ends in .json and is not {HOLDER}, got {name!r}"
            )
        if self.folder is None:
            as_json(dict(document), "a document")
            return
        self._writable().set_document(name, document)
        try:
            write_whole(self.folder / name, json.dumps(document, indent=2) + "\n")
        except OSError as error:
            raise unwritable(error) from error

    def close(self) -> None:
        """Let other processes have the run; again is harmless."""
        if self._database and self._lock and self._lock.held:
            self._database.close()
        if self._lock:
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _open(self, folder: Path) -> None:
        claim_folder(folder)
        if on_network(folder):
            warnings.warn(
                f"{folder} lies on a network file system, where locks and syncs may not hold: give "
                "a run to one machine at a time, or name a local folder",
                UserWarning,
                stacklevel=4,
            )
        self._lock = RunLock(folder)
        try:
            sweep(folder)
            self._database = _opened(folder, self._description)
            (folder / SHARDS).mkdir(exist_ok=True)
            self._adopt(folder, self._database)
        except BaseException:
            self.close()
            raise

    def _adopt(self, folder: Path, database: Database) -> None:
        """Find what is finished, and what is to be done again because it changed."""
        for name, attempts in database.attempts().items():
            self._attempts[self.shards[name].name] = attempts
        self._kept, self.redone = read_shards(database, folder)
        self._timings.extend(database.timings())

    def _note(self, shard: Shard, attempts: int) -> None:
        if self.folder is not None:
            self._writable().set_attempts(self._numbers[shard.name], attempts)
        self._attempts[shard.name] = attempts

    def _writable(self) -> Database:
        if self._database is None or self._lock is None or not self._lock.held:
            raise ConfigurationError(
                f"expected a run that this process has open, {self.folder} was closed or belongs "
                "to the process that forked this one; open it again"
            )
        return self._database

    def _write_arrays(self, name: str, arrays: Arrays) -> Sum | None:
        if not arrays or self.folder is None:
            return None
        return write_arrays(self.folder, self._description.hash, name, arrays)

    def _finished(self, shard: Shard) -> Kept:
        if (name := self._known(shard)) not in self._kept:
            raise ConfigurationError(f"expected a finished shard, {name!r} is still missing")
        return self._kept[name]

    def _known(self, shard: Shard) -> str:
        number = self._numbers.get(shard.name)
        if number is None or self.shards[number] != shard:
            raise ConfigurationError(f"expected a shard of the run's plan, got {shard.name!r}")
        return shard.name


def _opened(folder: Path, description: Description) -> Database:
    """Open a run's database, or make it; in an old one, check that it is the same run."""
    path = folder / DATABASE
    if not path.exists():
        try:
            write_whole(path, new_database(description).to_bytes())
        except OSError as error:
            raise unwritable(error) from error
    database = writing(path)
    old = database.description
    if old.hash != description.hash:
        database.close()
        raise ConfigurationError(
            f"expected the settings of the run in {folder}, got others: "
            f"{description.differences_from(old)}; repeat its settings to continue it, or "
            "name another folder"
        )
    if old.settings != description.settings:
        database.set_settings(description.settings)
    return database
