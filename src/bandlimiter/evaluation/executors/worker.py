"""What an executor is given: a worker that does shards, here or in other processes."""

from collections.abc import Sequence
from typing import Protocol

from bandlimiter.results.runs import Shard, ShardResult


class Worker(Protocol):
    """Holds models and images; picklable, and the same in every process once it was started."""

    def start(self) -> None:
        """Load and build what shards need; again is harmless."""

    def do(self, shard: Shard) -> ShardResult:
        """Do a shard. What comes out depends on the shard alone, not on what was done before."""

    def merge(self, shard: Shard, parts: Sequence[ShardResult]) -> ShardResult:
        """Put together what a shard's images gave one by one, as if they had been together."""

    def failed(self, shard: Shard, error: str) -> ShardResult:
        """Return what stands for a shard of one image on which work failed; needs no start."""


class Reporter(Protocol):
    """Is told how a run goes on, in the driver."""

    def started(self, shard: Shard) -> None:
        """A shard was handed out."""

    def finished(self, shard: Shard, result: ShardResult) -> None:
        """A shard is in the store."""
