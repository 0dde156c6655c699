"""A run's folder: shards written whole, entered in the manifest, verified when it is opened."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bandlimiter.errors import ConfigurationError
from bandlimiter.results.rows import Row
from bandlimiter.results.runs.attempts import Attempts
from bandlimiter.results.runs.description import Description, open_description
from bandlimiter.results.runs.documents import write_document
from bandlimiter.results.runs.files import append_line, sweep, write_file, write_lines
from bandlimiter.results.runs.folder import claim_folder
from bandlimiter.results.runs.labels import labels_of
from bandlimiter.results.runs.layout import ATTEMPTS, MANIFEST, SHARDS, TIMINGS, shard_paths
from bandlimiter.results.runs.lock import RunLock
from bandlimiter.results.runs.manifest import Entry, read_manifest
from bandlimiter.results.runs.packing import Packed, pack_result, unpack_result, unpack_rows
from bandlimiter.results.runs.shards import ShardResult
from bandlimiter.results.runs.verified_shards import damage, read_packed, read_timings


class Disk:
    """Keeps shards in a folder that this process alone writes to.

    Attributes
    ----------
    redone
        Shard -> why what was found of it does not count.
    """

    def __init__(self, folder: Path, description: Description) -> None:
        self._folder, self._hash = folder, description.hash
        claim_folder(folder)
        self._lock = RunLock(folder)
        try:
            open_description(folder, description)
            self._adopt(description)
        except BaseException:
            self._lock.release()
            raise

    @property
    def finished(self) -> frozenset[str]:
        """Names of the shards that count."""
        return frozenset(self._entries)

    def put(self, name: str, result: ShardResult) -> None:
        """Keep a shard. Until the manifest's line is whole it is as if nothing were there."""
        packed = pack_result(result, labels_of(self._hash, name))
        self._check_open()
        rows, arrays = shard_paths(self._folder, name)
        write_file(rows, packed.rows)
        if packed.arrays is not None:
            write_file(arrays, packed.arrays)
        if packed.timings:
            append_line(self._folder / TIMINGS, _timed(name, packed.timings))
        entry = Entry.of(name, packed)
        append_line(self._folder / MANIFEST, entry.model_dump())
        self._entries[name] = entry
        self._timings[name] = packed.timings
        self._attempts.finish(name)

    def get(self, name: str) -> ShardResult:
        """Read a finished shard back, verified."""
        return unpack_result(self._packed(name), labels_of(self._hash, name))

    def rows(self, name: str) -> list[Row]:
        """Read a finished shard's rows back, verified."""
        return unpack_rows(self._packed(name), labels_of(self._hash, name))

    def begin(self, name: str) -> int:
        """Note a start."""
        self._check_open()
        return self._attempts.begin(name)

    def release(self, name: str) -> None:
        """Take the last start back."""
        self._check_open()
        self._attempts.release(name)

    def write_document(self, name: str, document: Mapping[str, Any]) -> None:
        """Write JSON beside the shards."""
        self._check_open()
        write_document(self._folder, name, document)

    def close(self) -> None:
        """Let go of the run."""
        self._lock.release()

    def _packed(self, name: str) -> Packed:
        return read_packed(self._folder, self._entries[name], self._timings.get(name, ()))

    def _check_open(self) -> None:
        if not self._lock.held:
            raise ConfigurationError(
                f"expected a run that this process has open, {self._folder} was closed or belongs "
                "to the process that forked this one; open it again"
            )

    def _adopt(self, description: Description) -> None:
        """Make the folder hold what is whole and nothing else; find what is to be done again."""
        shards = self._folder / SHARDS
        shards.mkdir(exist_ok=True)
        sweep(self._folder)
        sweep(shards)
        planned = [shard.name for shard in description.shards]
        entries, whole = read_manifest(self._folder, planned)
        # Before damaged shards are forgotten: they were finished once, so they killed nobody.
        self._attempts = Attempts(self._folder / ATTEMPTS, ended=frozenset(entries))
        checked = {
            name: self._damage(description.hash, name, entries.get(name)) for name in planned
        }
        self.redone = {name: reason for name, reason in checked.items() if reason}
        self._entries = {name: entry for name, entry in entries.items() if name not in self.redone}
        if not whole or len(self._entries) < len(entries):
            kept = [entry.model_dump() for entry in self._entries.values()]
            write_lines(self._folder / MANIFEST, kept)
        self._timings, whole = read_timings(self._folder, self._entries)
        if not whole:
            write_lines(self._folder / TIMINGS, [_timed(*each) for each in self._timings.items()])

    def _damage(self, run: str, name: str, entry: Entry | None) -> str | None:
        if entry is not None:
            return damage(self._folder, run, entry)
        if any(path.exists() for path in shard_paths(self._folder, name)):
            return "its files are not in the manifest: the work was cut off, or a line is lost"
        return None


def _timed(name: str, timings: Any) -> dict[str, Any]:
    return {"shard": name, "timings": list(timings)}
