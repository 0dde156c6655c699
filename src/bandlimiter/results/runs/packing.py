"""A result as bytes and back: rows as Parquet, arrays and facts as safetensors."""

import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from bandlimiter.errors import InputError, LoadError
from bandlimiter.results.rows import Row
from bandlimiter.results.runs.labels import LABELS, check_labels
from bandlimiter.results.runs.parquet_rows import rows_from_parquet, rows_to_parquet
from bandlimiter.results.runs.shards import Arrays, ShardResult


@dataclass(frozen=True)
class Packed:
    """What is kept of a result, ready for disk.

    Attributes
    ----------
    rows
        A Parquet file.
    arrays
        A safetensors file of arrays, with facts in its metadata; None where there are neither.
    timings
        As they came; JSON can hold them.
    count
        How many rows.
    """

    rows: bytes
    arrays: bytes | None
    timings: Sequence[Mapping[str, Any]]
    count: int


def pack_result(result: ShardResult, labels: Mapping[str, Any]) -> Packed:
    """Turn a result into bytes that depend on it and on the labels alone.

    Raises
    ------
    InputError
        If facts or timings are not JSON, or an array's type is not one of safetensors'.
    """
    facts = _plain(dict(result.facts), "facts")
    timings = _plain([dict(timing) for timing in result.timings], "timings")
    arrays = _arrays(result.arrays, facts, labels) if result.arrays or facts else None
    return Packed(rows_to_parquet(result.rows, labels), arrays, timings, len(result.rows))


def unpack_result(packed: Packed, labels: Mapping[str, Any]) -> ShardResult:
    """Turn bytes into a result, if they carry these labels.

    Raises
    ------
    LoadError
        If they are not what `pack_result` makes.
    """
    rows = unpack_rows(packed, labels)
    if packed.arrays is None:
        return ShardResult(rows=rows, timings=packed.timings)
    facts = _facts(packed.arrays, labels)
    return ShardResult(rows=rows, arrays=load(packed.arrays), facts=facts, timings=packed.timings)


def unpack_rows(packed: Packed, labels: Mapping[str, Any]) -> list[Row]:
    """Return the rows alone.

    Raises
    ------
    LoadError
        If they are not what `pack_result` makes.
    """
    rows = rows_from_parquet(packed.rows, labels)
    if len(rows) != packed.count:
        raise LoadError(f"expected {packed.count} rows, got {len(rows)}")
    return rows


def sha256(data: bytes) -> str:
    """Return a checksum, 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def _arrays(arrays: Arrays, facts: Any, labels: Mapping[str, Any]) -> bytes:
    metadata = {LABELS: json.dumps({**labels, "facts": facts})}
    if "__metadata__" in arrays:
        raise InputError("expected arrays named otherwise than __metadata__, which is safetensors'")
    whole = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    try:
        return save(whole, metadata=metadata)
    except (SafetensorError, KeyError, TypeError) as error:
        raise InputError(f"expected arrays that safetensors can hold: {error}") from error


def _facts(data: bytes, labels: Mapping[str, Any]) -> dict[str, Any]:
    try:
        (length,) = struct.unpack("<Q", data[:8])
        text = json.loads(data[8 : 8 + length])["__metadata__"][LABELS]
        facts = check_labels(text, labels)["facts"]
    except (struct.error, ValueError, TypeError, KeyError) as error:
        raise LoadError("expected a safetensors file with labels and facts") from error
    if not isinstance(facts, dict):
        raise LoadError("expected facts by name in a safetensors file")
    return facts


def _plain(value: Any, what: str) -> Any:
    """Return what reading back will give: lists for tuples, text for keys."""
    try:
        return json.loads(json.dumps(value))
    except (TypeError, ValueError) as error:
        raise InputError(f"expected {what} that JSON can hold: {error}") from error
