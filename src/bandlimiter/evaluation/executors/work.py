"""What an executor is given: a recipe that makes a bench, and a bench that does shards."""

from collections.abc import Sequence
from typing import Protocol

from bandlimiter.results.runs import Harvest, Shard


class Bench(Protocol):
    """Holds models and images, and does one shard after another."""

    def do(self, shard: Shard) -> Harvest:
        """Do a shard. What comes out depends on the shard alone, not on what was done before."""


class Recipe(Protocol):
    """How a bench is made: small, picklable, the same in every process."""

    def build(self) -> Bench:
        """Load models and images."""

    def merge(self, shard: Shard, parts: Sequence[Harvest]) -> Harvest:
        """Put together what a shard's images gave one by one, as if they had been together."""

    def failed(self, shard: Shard, error: str) -> Harvest:
        """Return what stands for a shard of one image on which work failed; needs no bench."""


class Watcher(Protocol):
    """Is told how a run goes on, in the driver."""

    def started(self, shard: Shard) -> None:
        """A shard was handed out."""

    def finished(self, shard: Shard, harvest: Harvest) -> None:
        """A shard is in the store."""
