"""A shard: the piece of a run that is worked on at once, and what comes out of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[np.generic]]
"""Named arrays, as a safetensors file holds them."""


@dataclass(frozen=True)
class Shard:
    """A piece of a run: one plan item on some images.

    Attributes
    ----------
    name
        What the store calls it; letters, digits, ``-``, ``_``, ``.`` only; unique in a run.
    item
        What is done, a `PlanItem` by its name.
    images
        Positions of the images in the run's image set.
    """

    name: str
    item: str
    images: tuple[int, ...]

    def parts(self) -> list["Shard"]:
        """Return a shard for each image, for work that cannot be done together."""
        return [Shard(f"{self.name}.{i}", self.item, (i,)) for i in self.images]


@dataclass(frozen=True)
class ShardResult:
    """What a shard gave.

    Attributes
    ----------
    rows
        In the order of the shard's images; for several defences, defence by defence. `Row` objects,
        or all of another of `ROW_TYPES`.
    arrays
        Adversarial images and the like.
    facts
        Whatever else JSON can hold and the run's result depends on.
    timings
        What it took: kept beside the rows and never compared. JSON.
    """

    rows: Sequence[Any] = ()
    arrays: Arrays = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    timings: Sequence[Mapping[str, Any]] = ()
