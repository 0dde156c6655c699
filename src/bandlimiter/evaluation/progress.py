"""Tells a caller how far a run is, also from within a long attack."""

from collections.abc import Callable, Sequence

from bandlimiter.attacks import Target
from bandlimiter.evaluation.programme import Entry
from bandlimiter.results.runs import Harvest, Shard

Progress = Callable[[int, int, str], None]
"""Called with rows done, rows in all, and what goes on."""


class Teller:
    """Counts rows as shards come in, and names what goes on.

    Parameters
    ----------
    progress
        Told of it; None for nobody.
    entries
        What is tried.
    shards
        All of the run.
    """

    def __init__(
        self, progress: Progress | None, entries: Sequence[Entry], shards: Sequence[Shard]
    ) -> None:
        self._progress, self._doing = progress, "starting"
        self._entries = {entry.name: entry for entry in entries}
        self._total = sum(self._rows(shard) for shard in shards)
        self._done = 0

    def resumed(self, missing: Sequence[Shard]) -> None:
        """Learn what is left to do."""
        self._done = self._total - sum(self._rows(shard) for shard in missing)

    def started(self, shard: Shard) -> None:
        """See `executors.Watcher`."""
        entry = self._entries.get(shard.trial)
        if entry is None:
            return self.tell(shard.trial)
        how = f"on {entry.defences[0]}" if entry.attack is None else entry.trial.protocol
        return self.tell(f"{entry.trial.name} {how}")

    def finished(self, shard: Shard, harvest: Harvest) -> None:
        """See `executors.Watcher`."""
        self._done += self._rows(shard)
        self.tell(self._doing)

    def tell(self, doing: str) -> None:
        """Name what goes on now."""
        self._doing = doing
        self._call(doing)

    def beat(self, target: Target) -> None:
        """Give a sign of life; a `Target`'s heartbeat."""
        self._call(f"{self._doing}, {target.gradients:,} gradients, {target.queries:,} queries")

    def _rows(self, shard: Shard) -> int:
        entry = self._entries.get(shard.trial)
        return 0 if entry is None else len(shard.images) * len(entry.defences)

    def _call(self, what: str) -> None:
        if self._progress:
            self._progress(self._done, self._total, what)
