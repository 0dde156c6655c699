"""Adversarial images that an earlier run found, delivered as if they had been found now."""

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import torch
from typing_extensions import override

from bandlimiter.attacks import Attack, AttackInput
from bandlimiter.errors import ConfigurationError, InputError, LoadError
from bandlimiter.results.runs import Shard, ShardResult, StoredRun

_SHARDS_IN_MEMORY = 8


@dataclass(frozen=True)
class ReplayedAttack(Attack):
    """An attack whose images are in a run; the base judges them like any.

    Attributes
    ----------
    name, protocol, quick
        Of the attack that found them.
    run_name
        The run's name, which says everything that they depend on.
    item
        Of the run's shards that hold them.
    folder
        Where the run is. Workers read images from there when they need them.
    """

    name: str
    protocol: str
    run_name: str
    item: str
    folder: Path = field(repr=False)
    quick: bool = False

    @override
    def run(self, inputs: AttackInput) -> torch.Tensor:
        candidates = inputs.images.clone()
        places, failed = _places(self.folder, self.item), _failed(self.folder, self.item)
        for row, key in enumerate(inputs.ids):
            if int(key) in failed:  # there is no telling what the attack would have found
                raise InputError(f"{self.name} gave nothing for image {key}: {failed[int(key)]}")
            if int(key) not in places:
                continue  # nothing was found: the original stays
            shard, position = places[int(key)]
            image = _images(self.folder, shard)[position]
            candidates[row] = image.to(candidates.device, candidates.dtype)
        return candidates


@lru_cache(maxsize=16)
def _places(folder: Path, item: str) -> dict[int, tuple[str, int]]:
    """Return where each image id's adversarial image is: shard and position there."""
    run, places = _opened(folder), {}
    for shard in run.shards:
        if shard.item == item:
            ids = _result(run, shard).arrays.get("ids", ())
            places.update({int(key): (shard.name, i) for i, key in enumerate(ids)})
    return places


@lru_cache(maxsize=16)
def _failed(folder: Path, item: str) -> dict[int, str]:
    """Return why there is nothing for images on which the attack failed, by id."""
    run = _opened(folder)
    shards = [shard for shard in run.shards if shard.item == item]
    rows = [row for shard in shards for row in _result(run, shard).rows]
    return {row.image: row.error for row in rows if row.error is not None}


@lru_cache(maxsize=16)
def _opened(folder: Path) -> StoredRun:
    try:
        run = StoredRun.open(folder)
    except LoadError as error:  # no image's fault: it would be the same for all
        raise ConfigurationError(
            f"expected the attacks' run in {folder}, where every worker can read it: {error}"
        ) from error
    if run.finished < run.planned:
        raise ConfigurationError(
            f"expected a finished run of attacks in {folder}, {run.planned - run.finished} of its "
            f"{run.planned} shards are missing or damaged; run the same command again"
        )
    return run


@lru_cache(maxsize=_SHARDS_IN_MEMORY)
def _images(folder: Path, name: str) -> torch.Tensor:
    run = _opened(folder)
    (shard,) = (shard for shard in run.shards if shard.name == name)
    return torch.from_numpy(_result(run, shard).arrays["images"].copy())


def _result(run: StoredRun, shard: Shard) -> ShardResult:
    try:
        return run.result(shard)
    except LoadError as error:  # damaged since it was opened: no image's fault either
        raise ConfigurationError(
            f"expected the attacks' run in {run.folder} as it was when this began, {error}; run "
            "the same command again"
        ) from error
