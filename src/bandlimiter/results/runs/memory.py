"""A run that is kept nowhere but in memory: the same bytes as on disk, in a dictionary."""

from collections.abc import Mapping
from typing import Any

from bandlimiter.results.runs.attempts import Attempts
from bandlimiter.results.runs.documents import document_bytes
from bandlimiter.results.runs.packing import Packed


class Memory:
    """Keeps packed shards while the process lives."""

    def __init__(self) -> None:
        self.redone: dict[str, str] = {}
        self._attempts = Attempts()
        self._packed: dict[str, Packed] = {}

    @property
    def finished(self) -> frozenset[str]:
        """Names of the shards that were put."""
        return frozenset(self._packed)

    def put(self, name: str, packed: Packed) -> None:
        """Keep a shard."""
        self._packed[name] = packed
        self._attempts.finish(name)

    def get(self, name: str) -> Packed:
        """Return a shard."""
        return self._packed[name]

    def begin(self, name: str) -> int:
        """Note a start."""
        return self._attempts.begin(name)

    def release(self, name: str) -> None:
        """Take the last start back."""
        self._attempts.release(name)

    def write_document(self, name: str, document: Mapping[str, Any]) -> None:
        """Refuse what could not be written; nothing is kept."""
        document_bytes(name, document)

    def close(self) -> None:
        """Do nothing: there is no lock."""
