"""Models and images in one process: does an evaluation's shards, one after another."""

from typing import Any

import torch

from bandlimiter.evaluation.adaptive import Adaptive
from bandlimiter.evaluation.clean import CleanAnswers
from bandlimiter.evaluation.exhibits import exhibit
from bandlimiter.evaluation.inspection import Inspection
from bandlimiter.evaluation.lineup import line_up
from bandlimiter.evaluation.preflight import require_fitting, require_sound
from bandlimiter.evaluation.probe import IMAGES, Kept, Probe
from bandlimiter.evaluation.programme import INSPECTION
from bandlimiter.evaluation.setup import Setup
from bandlimiter.evaluation.trials import Done, Heartbeat, Trials
from bandlimiter.results import NONE
from bandlimiter.results.runs import Arrays, Harvest, Shard
from bandlimiter.tensors import require_images

_EXHIBITED = 3
"""How many slices, from the first on, have images to show."""


class EvaluationBench:
    """Does the shards of an evaluation.

    Parameters
    ----------
    setup
        What is evaluated.
    heartbeat
        See `Target`.
    probe
        Which image, by position, is shown to the models to see that all fits together.

    Raises
    ------
    ConfigurationError, InputError
        Where that image shows that models, attacks and images do not fit together.
    """

    def __init__(self, setup: Setup, heartbeat: Heartbeat | None = None, *, probe: int = 0) -> None:
        self._setup = setup
        first = setup.images.images(probe, probe + 1)
        self._judges = line_up(setup, first, heartbeat)
        placed = self._judges[0].place(require_images(first))
        for module in (setup.model, *(judge.defendant.module for judge in self._judges)):
            require_sound(module, placed)
        require_fitting(self._judges[0], setup.images, setup.attacks, placed)
        self._entries = {entry.name: entry for entry in setup.entries}
        self._trials = Trials(
            self._judges, setup.adaptive or Adaptive(), quick=setup.quick, heartbeat=heartbeat
        )
        self._answers = CleanAnswers(setup.images, ())
        named = {judge.defendant.name: judge.defendant.module for judge in self._judges}
        own = {name: module for name, module in named.items() if name not in setup.rivals}
        self._probe = Probe({NONE: setup.model, **own}, placed)

    def do(self, shard: Shard) -> Harvest:
        """Try one entry on one slice, or inspect."""
        if shard.trial == INSPECTION:
            return self._inspect(shard)
        if self._answers.positions != shard.images:  # else they are those of the entry before
            self._answers = CleanAnswers(self._setup.images, shard.images)
        done = self._trials.run(self._entries[shard.trial], self._answers)
        facts, arrays = self._kept(shard, done)
        return Harvest(done.rows, arrays, facts, [_timing(done)])

    def require_same(self, kept: Kept) -> None:
        """Refuse (ChangedError) models that answer otherwise than a run has kept; see `Probe`."""
        places = {key: place for place, key in enumerate(self._setup.images.ids.tolist())}
        parts = [self._setup.images.images(i, i + 1) for i in map(places.__getitem__, kept["ids"])]
        self._probe.require_same(kept, self._judges[0].place(torch.cat(parts)))

    def _inspect(self, shard: Shard) -> Harvest:
        inspection, size = Inspection(self._judges[0], self._setup.adaptive), 25
        for start in range(0, len(shard.images), size):
            answers = CleanAnswers(self._setup.images, shard.images[start : start + size])
            inspection.look(answers.of(self._judges[0]))
            if inspection.complete:
                break
        return Harvest(facts={"findings": [found.document() for found in inspection.found]})

    def _kept(self, shard: Shard, done: Done) -> tuple[dict[str, Any], Arrays]:
        facts: dict[str, Any] = {}
        arrays: dict[str, Any] = {}
        if shard.trial == next(iter(self._entries)):
            clean = self._answers.of(self._judges[0])
            facts["probe"] = self._probe.ask(clean.images[:IMAGES], clean.ids[:IMAGES].tolist())
        if self._setup.keep_images:
            arrays["images"] = done.images.to(torch.float32).cpu().numpy()
            arrays["ids"] = done.ids.to(torch.int64).cpu().numpy()
        most = self._setup.exhibits
        own = done.rows and done.rows[0].defence == self._judges[0].defendant.name
        if most and own and shard.images[0] < _EXHIBITED * len(shard.images):
            facts["exhibits"], shown = exhibit(self._judges[0], self._answers, done, most)
            arrays.update(shown)
        return facts, arrays


def _timing(done: Done) -> dict[str, Any]:
    return {
        "attack": done.trial.name,
        "protocol": done.trial.protocol,
        "threat": done.trial.threat,
        "images": len({row.image for row in done.rows}),
        "seconds": done.seconds,
    }
