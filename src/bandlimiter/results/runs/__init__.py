"""Runs on disk that survive anything: a database, files of arrays, a lock, and what names a run."""

import warnings
from typing import Any

from bandlimiter.results.runs.folder import find_runs
from bandlimiter.results.runs.identity import run_name
from bandlimiter.results.runs.recovery import recover
from bandlimiter.results.runs.shards import Arrays, Shard, ShardResult
from bandlimiter.results.runs.store import RunStore
from bandlimiter.results.runs.stored import StoredRun

__all__ = [
    "Arrays",
    "RunStore",
    "Shard",
    "ShardResult",
    "StoredRun",
    "find_runs",
    "recover",
    "run_name",
]


def __getattr__(name: str) -> Any:
    if name == "Harvest":
        message = "bandlimiter.results.runs.Harvest is called ShardResult now"
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        return ShardResult
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
