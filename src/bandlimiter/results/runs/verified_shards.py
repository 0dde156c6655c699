"""Shards read from a run's folder, and verified against the manifest before they are believed."""

from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any

from bandlimiter.errors import LoadError
from bandlimiter.results.runs.files import read_lines
from bandlimiter.results.runs.labels import labels_of
from bandlimiter.results.runs.layout import TIMINGS, shard_paths
from bandlimiter.results.runs.manifest import Entry, Sum
from bandlimiter.results.runs.packing import Packed, unpack_result

Timings = Sequence[Mapping[str, Any]]


def read_packed(folder: Path, entry: Entry, timings: Timings = ()) -> Packed:
    """Read a shard's files.

    Raises
    ------
    LoadError
        If one is missing or has another sum than the manifest states.
    """
    rows, arrays = shard_paths(folder, entry.shard)
    return Packed(
        rows=_read(rows, entry.rows),
        arrays=None if entry.arrays is None else _read(arrays, entry.arrays),
        timings=timings,
        count=entry.count,
    )


def damage(folder: Path, run: str, entry: Entry) -> str | None:
    """Say why a shard does not count; None where all is well."""
    try:
        unpack_result(read_packed(folder, entry), labels_of(run, entry.shard))
    except LoadError as error:
        return str(error)
    return None


def read_timings(folder: Path, finished: Container[str]) -> tuple[dict[str, Timings], bool]:
    """Return the timings of finished shards, and whether the file holds just these.

    A crash can leave a shard's timings without the shard; of two lines for one the last counts.
    """
    lines, whole = read_lines(folder / TIMINGS)
    found: dict[str, Timings] = {}
    for line in lines:
        match line:
            case {"shard": str(shard), "timings": [*timings]} if shard in finished:
                found[shard] = [timing for timing in timings if isinstance(timing, dict)]
    return found, whole and len(found) == len(lines)


def _read(path: Path, total: Sum) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise LoadError(f"expected the file {path.name}, it is missing") from error
    except OSError as error:
        raise LoadError(f"cannot read {path.name}: {error.strerror}") from error
    return total.check(data, path.name)
