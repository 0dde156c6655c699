"""What a run tries, entry by entry, and the shards that it is cut into. No model is needed."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bandlimiter.attacks import Attack
from bandlimiter.evaluation.adaptive import Adaptive, smallest_budget
from bandlimiter.evaluation.cases import Trial
from bandlimiter.results import NONE
from bandlimiter.results.runs import Shard

INSPECTION = "inspection"
"""The trial that looks for signs of weak attacks; its shard has no rows."""

_INSPECTED = 100
"""Among how many images at most the inspection looks for some that models have right."""


@dataclass(frozen=True)
class Entry:
    """One thing that is tried on every image.

    Attributes
    ----------
    name
        In shards' names; unique in a programme.
    trial
        How rows describe it.
    defences
        Whose rows it gives, in order.
    attack
        On the plain model; None where ``defences`` is the one that is attacked itself.
    """

    name: str
    trial: Trial
    defences: tuple[str, ...]
    attack: Attack | None = None


def programme(
    attacks: Sequence[Attack], adaptive: Adaptive | None, defences: Sequence[str], *, quick: bool
) -> list[Entry]:
    """Return everything that a run tries.

    Parameters
    ----------
    attacks
        On the plain model; what they find is shown to every defence.
    adaptive
        How each defence itself is attacked; None for not at all.
    defences
        Names, the run's own first; `NONE` is the plain model where it faces what they face.
    quick
        Whether attacks on defences take fewer steps.
    """
    shown = tuple(name for name in defences if name != NONE)
    entries = [
        Entry(_named(i, f"{attack.name}-{attack.protocol}"), Trial.of(attack), shown, attack)
        for i, attack in enumerate(attacks)
    ]
    if adaptive is not None:
        trials = [adaptive.cascade_trial(quick)]
        if adaptive.curve:
            trials.append(Trial.of(smallest_budget(quick), "adaptive"))
        entries += [
            Entry(_named(len(attacks) + i, f"{trial.name}-on-{name}"), trial, (name,))
            for i, name in enumerate(defences)
            for trial in trials
        ]
    return entries


def cut(entries: Sequence[Entry], images: int, size: int) -> list[Shard]:
    """Return a run's shards: all entries on the first ``size`` images, then on the next.

    The order keeps a slice's clean answers of use, and lets rows of every attack come early.
    The inspection comes last.
    """
    slices = [range(start, min(start + size, images)) for start in range(0, images, size)]
    shards = [
        Shard(f"{number:04d}-{entry.name}", entry.name, tuple(part))
        for number, part in enumerate(slices)
        for entry in entries
    ]
    return [*shards, Shard(INSPECTION, INSPECTION, tuple(range(min(images, _INSPECTED))))]


def _named(number: int, name: str) -> str:
    return f"{number:02d}-{re.sub(r'[^A-Za-z0-9_.-]+', '_', name)}"
