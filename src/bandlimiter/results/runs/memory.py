"""A run that is kept nowhere but in memory."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from bandlimiter.results.rows import Row
from bandlimiter.results.runs.shards import ShardResult


class Memory:
    """Keeps what shards gave while the process lives."""

    def __init__(self) -> None:
        self.redone: dict[str, str] = {}
        self._results: dict[str, ShardResult] = {}
        self._starts: Counter[str] = Counter()

    @property
    def finished(self) -> frozenset[str]:
        """Names of the shards that were put."""
        return frozenset(self._results)

    def put(self, name: str, result: ShardResult) -> None:
        """Keep a shard."""
        self._results[name] = result

    def get(self, name: str) -> ShardResult:
        """Return a shard."""
        return self._results[name]

    def rows(self, name: str) -> list[Row]:
        """Return a shard's rows."""
        return list(self._results[name].rows)

    def begin(self, name: str) -> int:
        """Note a start; return how many there were before."""
        self._starts[name] += 1
        return self._starts[name] - 1

    def release(self, name: str) -> None:
        """Take the last start back."""
        self._starts[name] = max(0, self._starts[name] - 1)

    def write_document(self, name: str, document: Mapping[str, Any]) -> None:
        """Do nothing: nobody could read it."""

    def close(self) -> None:
        """Do nothing: there is no lock."""
