"""The manifest: a shard counts when a line of it says so, and its files have the sums it states."""

from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from bandlimiter.errors import LoadError
from bandlimiter.results.runs.files import read_lines
from bandlimiter.results.runs.layout import MANIFEST
from bandlimiter.results.runs.packing import Packed, sha256


class Sum(BaseModel):
    """How long a file is, and its SHA-256."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: str
    size: int
    """In bytes."""

    @classmethod
    def of(cls, data: bytes) -> "Sum":
        """Return the sum of a file's content."""
        return cls(sha256=sha256(data), size=len(data))

    def check(self, data: bytes, name: str) -> bytes:
        """Return the content if it is the file's.

        Raises
        ------
        LoadError
            If it is shorter, longer or another.
        """
        if len(data) != self.size:
            raise LoadError(f"expected {self.size} bytes in {name}, got {len(data)}")
        if sha256(data) != self.sha256:
            raise LoadError(f"expected the content of {name} as it was written, it was changed")
        return data


class Entry(BaseModel):
    """One finished shard."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    shard: str
    count: int
    """Of rows."""
    rows: Sum
    arrays: Sum | None

    @classmethod
    def of(cls, shard: str, packed: Packed) -> "Entry":
        """Return the entry of a shard that is about to be finished."""
        arrays = None if packed.arrays is None else Sum.of(packed.arrays)
        return cls(shard=shard, count=packed.count, rows=Sum.of(packed.rows), arrays=arrays)


def read_manifest(folder: Path, planned: Iterable[str]) -> tuple[dict[str, Entry], bool]:
    """Return the entries of planned shards by name, and whether the file holds just these.

    A torn last line, what is no entry, and shards that were not planned are left out; of two
    lines for a shard the last one counts.
    """
    lines, whole = read_lines(folder / MANIFEST)
    names, entries = set(planned), {}
    for line in lines:
        try:
            entry = Entry.model_validate(line)
        except ValidationError:
            continue
        if entry.shard in names:
            entries[entry.shard] = entry
    return entries, whole and len(entries) == len(lines)
