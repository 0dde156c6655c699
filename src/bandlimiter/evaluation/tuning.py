"""The answers of ``tune`` as a run: what was measured before a kill is not measured again."""

import time
from collections.abc import Callable, Sequence

import torch

from bandlimiter.data import ImageSet
from bandlimiter.defence import PostAverage
from bandlimiter.defence.tuning import Answers
from bandlimiter.results.runs import RunStore, Shard, ShardResult
from bandlimiter.results.tuned_rows import TunedRow


def tuning_plan(settings: int, images: int) -> list[Shard]:
    """Return a shard for each setting that may be tried; which ones is found on the way."""
    return [Shard(f"setting-{i:02d}", "tune", tuple(range(images))) for i in range(settings)]


class KeptAnswers:
    """Remembers answers in a run's store; see ``remember`` of `tune_radius`.

    Parameters
    ----------
    store
        Of a `tuning_plan`, open.
    images
        Those that are tuned on.
    """

    def __init__(self, store: RunStore, images: ImageSet) -> None:
        self._store, self._images = store, images
        missing = {shard.name for shard in store.missing()}
        finished = [shard for shard in store.shards if shard.name not in missing]
        self._known = {_setting(store.result(shard)): store.result(shard) for shard in finished}

    def __call__(self, defence: PostAverage, measure: Callable[[], Answers]) -> Answers:
        """Return a defence's answers, measured if they are not known."""
        setting = (defence.radius, defence.directions)
        known = self._known.get(setting)
        if known is None:
            known = self._measured(setting, measure)
        labels = torch.tensor([row.averaged for row in known.rows], dtype=torch.int64)
        return Answers(labels, known.facts["evaluations"])

    def finish(self) -> None:
        """Note that what was planned and not tried will not be."""
        for shard in self._store.missing():
            self._store.put(shard, ShardResult())

    def _measured(self, setting: tuple[float, int], measure: Callable[[], Answers]) -> ShardResult:
        shard = self._store.missing()[0]
        began = time.perf_counter()
        answers = measure()
        radius, directions = setting
        ids, labels = self._images.ids.tolist(), self._images.labels.tolist()
        result = ShardResult(
            rows=[
                TunedRow(
                    image=image,
                    label=label,
                    radius=radius,
                    directions=directions,
                    averaged=averaged,
                )
                for image, label, averaged in zip(ids, labels, answers.labels.tolist(), strict=True)
            ],
            facts={"evaluations": answers.evaluations},
            timings=[{"images": len(ids), "seconds": time.perf_counter() - began}],
        )
        self._store.put(shard, result)
        self._known[setting] = result
        return result


def _setting(result: ShardResult) -> tuple[float, int] | None:
    rows: Sequence[TunedRow] = result.rows
    return (rows[0].radius, rows[0].directions) if rows else None
