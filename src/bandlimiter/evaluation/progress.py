"""Tells a caller how far a run is, also from within a long attack."""

from collections.abc import Callable, Sequence

from bandlimiter.attacks import AttackedModel
from bandlimiter.evaluation.plan import Plan
from bandlimiter.results.runs import Shard, ShardResult

Progress = Callable[[int, int, str], None]
"""Called with rows done, rows in all, and what goes on."""


class ProgressReporter:
    """Counts rows as shards come in, and names what goes on.

    Parameters
    ----------
    progress
        Told of it; None for nobody.
    plan
        What is done.
    """

    def __init__(self, progress: Progress | None, plan: Plan) -> None:
        self._progress, self._doing = progress, "starting"
        self._items = {item.name: item for item in plan.items}
        self._total = sum(self._rows(shard) for shard in plan.shards)
        self._done = 0

    def resumed(self, missing: Sequence[Shard]) -> None:
        """Learn what is left to do."""
        self._done = self._total - sum(self._rows(shard) for shard in missing)

    def started(self, shard: Shard) -> None:
        """See `executors.Reporter`."""
        item = self._items.get(shard.item)
        if item is None:
            return self.tell("sanity checks")
        how = f"on {item.defences[0]}" if item.attack is None else item.spec.protocol
        return self.tell(f"{item.spec.name} {how}")

    def finished(self, shard: Shard, result: ShardResult) -> None:
        """See `executors.Reporter`."""
        self._done += self._rows(shard)
        self.tell(self._doing)

    def tell(self, doing: str) -> None:
        """Name what goes on now."""
        self._doing = doing
        self._call(doing)

    def heartbeat(self, attacked: AttackedModel) -> None:
        """Give a sign of life; an `AttackedModel`'s heartbeat."""
        self._call(f"{self._doing}, {attacked.gradients:,} gradients, {attacked.queries:,} queries")

    def _rows(self, shard: Shard) -> int:
        item = self._items.get(shard.item)
        return 0 if item is None else len(shard.images) * len(item.defences)

    def _call(self, what: str) -> None:
        if self._progress:
            self._progress(self._done, self._total, what)
