"""Adversarial images that an earlier run found, delivered as if they had been found now."""

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import torch
from typing_extensions import override

from bandlimiter.attacks import Attack, Problem
from bandlimiter.errors import ConfigurationError
from bandlimiter.results.runs import StoredRun

_SHARDS_IN_MEMORY = 8


@dataclass(frozen=True)
class Delivered(Attack):
    """An attack whose images are in a run; the base judges them like any.

    Attributes
    ----------
    name, protocol, quick
        Of the attack that found them.
    run_name
        The run's name, which says everything that they depend on.
    trial
        Of the run's shards that hold them.
    folder
        Where the run is. Workers read images from there when they need them.
    """

    name: str
    protocol: str
    run_name: str
    trial: str
    folder: Path = field(repr=False)
    quick: bool = False

    @override
    def run(self, problem: Problem) -> torch.Tensor:
        candidates = problem.images.clone()
        places = _places(self.folder, self.trial)
        for row, key in enumerate(problem.ids):
            if int(key) not in places:
                continue  # nothing was found: the original stays
            shard, position = places[int(key)]
            image = _images(self.folder, shard)[position]
            candidates[row] = image.to(candidates.device, candidates.dtype)
        return candidates


@lru_cache(maxsize=16)
def _places(folder: Path, trial: str) -> dict[int, tuple[str, int]]:
    """Return where each image id's adversarial image is: shard and position there."""
    run, places = _opened(folder), {}
    for shard in run.shards:
        if shard.trial == trial:
            ids = run.harvest(shard).arrays.get("ids", ())
            places.update({int(key): (shard.name, i) for i, key in enumerate(ids)})
    return places


@lru_cache(maxsize=16)
def _opened(folder: Path) -> StoredRun:
    run = StoredRun.open(folder)
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
    return torch.from_numpy(run.harvest(shard).arrays["images"].copy())
