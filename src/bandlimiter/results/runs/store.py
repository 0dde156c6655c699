"""The run store: shards go in, in any order; rows come out, in the order of the plan."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from bandlimiter.errors import ConfigurationError
from bandlimiter.results.rows import Row
from bandlimiter.results.runs.description import Description
from bandlimiter.results.runs.disk import Disk
from bandlimiter.results.runs.labels import labels_of
from bandlimiter.results.runs.memory import Memory
from bandlimiter.results.runs.packing import Packed, pack_harvest, unpack_harvest, unpack_rows
from bandlimiter.results.runs.shards import Arrays, Harvest, Shard


class Shelf(Protocol):
    """Where packed shards are kept."""

    redone: dict[str, str]

    @property
    def finished(self) -> frozenset[str]:
        """Names of the shards that are there."""

    def put(self, name: str, packed: Packed) -> None:
        """Keep a shard for good."""

    def get(self, name: str) -> Packed:
        """Return a shard, verified."""

    def begin(self, name: str) -> int:
        """Note a start; return how many before ended in nothing."""

    def release(self, name: str) -> None:
        """Take the last start back."""

    def write_document(self, name: str, document: Mapping[str, Any]) -> None:
        """Keep JSON beside the shards."""

    def close(self) -> None:
        """Let others have it."""


class RunStore:
    """A run while it goes on: one process has it, and what it put survives anything.

    Whatever kills the process, a shard is there whole or not at all; opening the same run again
    goes on from there. What was truncated, edited or deleted meanwhile is found by its checksum
    when the run is opened, and is `missing` again.

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

    Attributes
    ----------
    redone
        Name of a shard -> why what was found of it did not count.

    Raises
    ------
    ConfigurationError
        If another process has the run, the folder holds another run (the message names what
        differs) or other files, is a link or read-only, or names are not plain.
    LoadError
        If the run that it holds cannot be read.
    OSError
        If it cannot be written, such as on a full disk; also from each method that writes.

    Examples
    --------
    >>> shard = Shard("first", "fgsm", (0, 1))
    >>> with RunStore(None, {"seed": 0}, [shard], settings={}) as store:
    ...     store.put(shard, Harvest(facts={"tried": 2}))
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
    ) -> None:
        description = Description.of(identity, shards, settings)
        self.folder = folder
        self.shards = description.shards
        self.hash = description.hash
        self._by_name = {shard.name: shard for shard in self.shards}
        self._shelf: Shelf = Memory() if folder is None else Disk(Path(folder), description)
        self.redone = dict(self._shelf.redone)

    def missing(self) -> list[Shard]:
        """Return the shards that are still to be done, in the order of the plan."""
        finished = self._shelf.finished
        return [shard for shard in self.shards if shard.name not in finished]

    def begin(self, shard: Shard) -> int:
        """Note durably that work on a shard starts.

        Returns
        -------
        int
            How many starts before ended in neither `put` nor `release`: whoever worked on it
            died, maybe of it.
        """
        return self._shelf.begin(self._known(shard))

    def release(self, shard: Shard) -> None:
        """Note that work on a shard was given up in good order: the shard is not to blame."""
        self._shelf.release(self._known(shard))

    def put(self, shard: Shard, harvest: Harvest) -> None:
        """Keep what a shard gave; durable on return. A shard is put once.

        Raises
        ------
        ConfigurationError
            If the shard is not of the plan, or is finished.
        InputError
            If it cannot be written: no JSON, no arrays of numbers, numbers beyond 64 bits.
        OSError
            If there is no room; the run then goes on as if nothing had been put.
        """
        name = self._known(shard)
        if name in self._shelf.finished:
            raise ConfigurationError(f"expected a shard that is missing, {name!r} is finished")
        self._shelf.put(name, pack_harvest(harvest, labels_of(self.hash, name)))

    def rows(self) -> list[Row]:
        """Return the rows of all finished shards, in the order of the plan.

        Raises
        ------
        LoadError
            If a file was damaged since the run was opened.
        """
        finished = self._shelf.finished
        return [
            row
            for shard in self.shards
            if shard.name in finished
            for row in unpack_rows(self._shelf.get(shard.name), labels_of(self.hash, shard.name))
        ]

    def harvest(self, shard: Shard) -> Harvest:
        """Read a finished shard back: rows and arrays as put, facts and timings as JSON has them.

        Raises
        ------
        ConfigurationError
            If it is not finished.
        LoadError
            If a file was damaged since the run was opened.
        """
        name = self._known(shard)
        if name not in self._shelf.finished:
            raise ConfigurationError(f"expected a finished shard, {name!r} is still missing")
        return unpack_harvest(self._shelf.get(name), labels_of(self.hash, name))

    def facts(self, shard: Shard) -> Mapping[str, Any]:
        """Return a finished shard's facts; raises as `harvest` does."""
        return self.harvest(shard).facts

    def arrays(self, shard: Shard) -> Arrays:
        """Return a finished shard's arrays; raises as `harvest` does."""
        return self.harvest(shard).arrays

    def write_document(self, name: str, document: Mapping[str, Any]) -> None:
        """Write JSON beside the shards, whole or not at all; no part of the identity.

        Parameters
        ----------
        name
            Such as ``result.json``.
        document
            JSON.
        """
        self._shelf.write_document(name, document)

    def close(self) -> None:
        """Let other processes have the run; again is harmless."""
        self._shelf.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _known(self, shard: Shard) -> str:
        if self._by_name.get(shard.name) != shard:
            raise ConfigurationError(f"expected a shard of the run's plan, got {shard.name!r}")
        return shard.name
