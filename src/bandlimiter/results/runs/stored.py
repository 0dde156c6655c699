"""A run as readers find it: no lock is taken and nothing is written."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from bandlimiter.results.rows import Row
from bandlimiter.results.runs.description import Description, read_description
from bandlimiter.results.runs.documents import read_documents
from bandlimiter.results.runs.labels import labels_of
from bandlimiter.results.runs.lock import in_use
from bandlimiter.results.runs.manifest import Entry, read_manifest
from bandlimiter.results.runs.packing import unpack_result, unpack_rows
from bandlimiter.results.runs.shards import Shard, ShardResult
from bandlimiter.results.runs.verified_shards import Timings, damage, read_packed, read_timings

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
        How many shards are in the manifest, but not as they were written: they are left out
        here, and done again when the run is continued.
    """

    folder: Path
    state: State
    damaged: int
    _description: Description
    _entries: dict[str, Entry]
    _timings: dict[str, Timings]

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Read and verify a run.

        Raises
        ------
        LoadError
            If there is none in the folder, it is of another format, or its description is damaged.
        """
        folder = Path(folder)
        description = read_description(folder)
        listed, _ = read_manifest(folder, [shard.name for shard in description.shards])
        entries = {
            name: entry
            for name, entry in listed.items()
            if damage(folder, description.hash, entry) is None
        }
        done = len(entries) == len(description.shards)
        state: State = "in use" if in_use(folder) else "done" if done else "unfinished"
        return cls(
            folder=folder,
            state=state,
            damaged=len(listed) - len(entries),
            _description=description,
            _entries=entries,
            _timings=read_timings(folder, entries)[0],
        )

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
        return [shard for shard in self._description.shards if shard.name in self._entries]

    @property
    def finished(self) -> int:
        """How many shards are finished and whole."""
        return len(self._entries)

    @property
    def planned(self) -> int:
        """How many shards there are in all."""
        return len(self._description.shards)

    @property
    def documents(self) -> dict[str, dict[str, Any]]:
        """JSON documents by file name, such as ``result.json``; LoadError where one is damaged."""
        return read_documents(self.folder)

    def rows(self) -> list[Row]:
        """Return the rows of all finished shards, in the order of the plan.

        Raises
        ------
        LoadError
            If a file was damaged since the run was opened; so do `failed` and `results`.
        """
        return [
            row
            for shard in self.shards
            for row in unpack_rows(
                read_packed(self.folder, self._entries[shard.name]), self._labels(shard)
            )
        ]

    @property
    def failed(self) -> list[Row]:
        """The rows of images on which work ended in an error."""
        return [row for row in self.rows() if row.error is not None]

    def results(self) -> Iterator[ShardResult]:
        """Read what finished shards gave, one at a time, in the order of `shards`."""
        for shard in self.shards:
            yield self.result(shard)

    def result(self, shard: Shard) -> ShardResult:
        """Read what one finished shard gave; KeyError where it is not one of `shards`."""
        timings = self._timings.get(shard.name, ())
        packed = read_packed(self.folder, self._entries[shard.name], timings)
        return unpack_result(packed, self._labels(shard))

    def timings(self) -> list[dict[str, Any]]:
        """Return the timings of finished shards, each with ``shard``, in the order of `shards`."""
        return [
            {**timing, "shard": shard.name}
            for shard in self.shards
            for timing in self._timings.get(shard.name, ())
        ]

    def _labels(self, shard: Shard) -> dict[str, Any]:
        return labels_of(self.hash, shard.name)
