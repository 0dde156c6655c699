"""Arrays of a shard: a safetensors file that says whose it is, and its sum in the database."""

import hashlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from bandlimiter.errors import InputError, LoadError
from bandlimiter.results.files import write_whole
from bandlimiter.results.runs.folder import SHARDS, unwritable
from bandlimiter.results.runs.shards import Arrays

_LABELS = "bandlimiter"
"""The one key of a file's metadata: safetensors writes several in random order."""


class Sum(NamedTuple):
    """How long a file is in bytes, and its SHA-256."""

    size: int
    sha256: str


def write_arrays(folder: Path, run: str, shard: str, arrays: Arrays) -> Sum:
    """Write a shard's arrays, whole and durable, before the database names them.

    Raises
    ------
    InputError
        If safetensors cannot hold them.
    OSError
        If they cannot be written.
    """
    if "__metadata__" in arrays:
        raise InputError("expected arrays named otherwise than __metadata__, which is safetensors'")
    whole = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    try:
        data = save(whole, metadata={_LABELS: _labels(run, shard)})
    except (SafetensorError, KeyError, TypeError) as error:
        raise InputError(f"expected arrays that safetensors can hold: {error}") from error
    try:
        write_whole(path_of(folder, shard), data)
    except OSError as error:
        raise unwritable(error) from error
    return Sum(len(data), hashlib.sha256(data).hexdigest())


def read_arrays(folder: Path, run: str, shard: str, total: Sum) -> Mapping[str, Any]:
    """Read a shard's arrays.

    Raises
    ------
    LoadError
        If the file is missing, has another sum, or is another shard's or run's.
    """
    path = path_of(folder, shard)
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise LoadError(f"expected the file {path.name}, it is missing") from error
    except OSError as error:
        raise LoadError(f"cannot read {path.name}: {error.strerror}") from error
    if len(data) != total.size:
        raise LoadError(f"expected {total.size} bytes in {path.name}, got {len(data)}")
    if hashlib.sha256(data).hexdigest() != total.sha256:
        raise LoadError(f"expected the content of {path.name} as it was written, it was changed")
    (length,) = struct.unpack("<Q", data[:8])
    labels = json.loads(data[8 : 8 + length]).get("__metadata__", {}).get(_LABELS)
    if labels != _labels(run, shard):
        raise LoadError(f"expected arrays of shard {shard} of this run, {path.name} is of {labels}")
    return load(data)


def path_of(folder: Path, shard: str) -> Path:
    """Return where a shard's arrays lie; the name is a plain one."""
    return folder / SHARDS / f"{shard}.safetensors"


def _labels(run: str, shard: str) -> str:
    return json.dumps({"run": run, "shard": shard})
