"""The run store: shards go in, in any order; rows come out, in the order of the plan."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from bandlimiter.errors import ConfigurationError
from bandlimiter.results.rows import Row
from bandlimiter.results.runs.description import Description
from bandlimiter.results.runs.disk import Disk
from bandlimiter.results.runs.memory import Memory
from bandlimiter.results.runs.shards import Arrays, Shard, ShardResult


class Backend(Protocol):
    """Where what shards gave is kept."""

    redone: dict[str, str]

    @property
    def finished(self) -> frozenset[str]:
        """Names of the shards that are there."""

    def put(self, name: str, result: ShardResult) -> None:
        """Keep a shard for good."""

    def get(self, name: str) -> ShardResult:
        """Return a shard, verified."""

    def rows(self, name: str) -> list[Row]:
        """Return a shard's rows, verified."""

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
    ) -> None:
        self.folder = folder
        self.shards = tuple(shards)
        self._by_name = {shard.name: shard for shard in self.shards}
        self._backend: Backend = (
            Memory()
            if folder is None
            else Disk(Path(folder), Description.of(identity, self.shards, settings))
        )
        self.redone = dict(self._backend.redone)

    def missing(self) -> list[Shard]:
        """Return the shards that are still to be done, in the order of the plan."""
        finished = self._backend.finished
        return [shard for shard in self.shards if shard.name not in finished]

    def begin(self, shard: Shard) -> int:
        """Note durably that work on a shard starts.

        Returns
        -------
        int
            How many starts before ended in neither `put` nor `release`: whoever worked on it
            died, maybe of it.
        """
        return self._backend.begin(self._known(shard))

    def release(self, shard: Shard) -> None:
        """Note that work on a shard was given up in good order: the shard is not to blame."""
        self._backend.release(self._known(shard))

    def put(self, shard: Shard, result: ShardResult) -> None:
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
        if name in self._backend.finished:
            raise ConfigurationError(f"expected a shard that is missing, {name!r} is finished")
        self._backend.put(name, result)

    def rows(self) -> list[Row]:
        """Return the rows of all finished shards, in the order of the plan.

        Raises
        ------
        LoadError
            If a file was damaged since the run was opened.
        """
        finished = self._backend.finished
        return [
            row
            for shard in self.shards
            if shard.name in finished
            for row in self._backend.rows(shard.name)
        ]

    def result(self, shard: Shard) -> ShardResult:
        """Read a finished shard back: rows and arrays as put, facts and timings as JSON has them.

        Raises
        ------
        ConfigurationError
            If it is not finished.
        LoadError
            If a file was damaged since the run was opened.
        """
        name = self._known(shard)
        if name not in self._backend.finished:
            raise ConfigurationError(f"expected a finished shard, {name!r} is still missing")
        return self._backend.get(name)

    def facts(self, shard: Shard) -> Mapping[str, Any]:
        """Return a finished shard's facts; raises as `result` does."""
        return self.result(shard).facts

    def arrays(self, shard: Shard) -> Arrays:
        """Return a finished shard's arrays; raises as `result` does."""
        return self.result(shard).arrays

    def write_document(self, name: str, document: Mapping[str, Any]) -> None:
        """Write JSON beside the shards, whole or not at all; no part of the identity.

        Parameters
        ----------
        name
            Such as ``result.json``.
        document
            JSON.
        """
        self._backend.write_document(name, document)

    def close(self) -> None:
        """Let other processes have the run; again is harmless."""
        self._backend.close()

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
