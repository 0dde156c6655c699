"""How a worker comes to its bench, and what stands for images on which work failed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bandlimiter.evaluation.bench import EvaluationBench
from bandlimiter.evaluation.programme import INSPECTION
from bandlimiter.evaluation.setup import Setup
from bandlimiter.evaluation.trials import Heartbeat
from bandlimiter.results import Row
from bandlimiter.results.runs import Harvest, Shard


@dataclass(frozen=True)
class EvaluationRecipe:
    """Makes benches for an evaluation; travels to workers with models and images inside.

    ``probe`` is the image, by position, with which a bench sees that all fits together.
    """

    setup: Setup
    probe: int = 0

    def build(self, heartbeat: Heartbeat | None = None) -> EvaluationBench:
        """Make a bench; see `EvaluationBench` for what it refuses."""
        return EvaluationBench(self.setup, heartbeat, probe=self.probe)

    def merge(self, shard: Shard, parts: Sequence[Harvest]) -> Harvest:
        """Put together what images gave one by one: defence by defence, as if done together."""
        rows = [row for part in parts for row in part.rows]
        defences = list(dict.fromkeys(row.defence for row in rows))
        names = {name for part in parts for name in part.arrays if not name.startswith("exhibit.")}
        findings = [found for part in parts for found in part.facts.get("findings", ())]
        return Harvest(
            rows=[row for name in defences for row in rows if row.defence == name],
            arrays={
                name: np.concatenate([p.arrays[name] for p in parts if name in p.arrays])
                for name in sorted(names)
            },
            facts={"findings": _once(findings)} if shard.trial == INSPECTION else _probed(parts),
            timings=[timing for part in parts for timing in part.timings],
        )

    def failed(self, shard: Shard, error: str) -> Harvest:
        """Return an image's rows for an entry that gave none."""
        if shard.trial == INSPECTION:
            return Harvest()
        entry = next(entry for entry in self.setup.entries if entry.name == shard.trial)
        (position,) = shard.images
        images, trial = self.setup.images, entry.trial
        nothing = {
            **dict.fromkeys(("plain_clean", "defended_clean"), -1),
            **dict.fromkeys(("found", "within_budget"), False),
            **dict.fromkeys(("plain_adversarial", "defended_adversarial", "l2_normalised"), None),
            **dict.fromkeys(("linf", "l2"), 0.0),
        }
        rows = [
            Row.model_validate(
                {
                    "image": int(images.ids[position]),
                    "label": int(images.labels[position]),
                    "attack": trial.name,
                    "protocol": trial.protocol,
                    "threat": trial.threat,
                    "quick": trial.quick,
                    "norm": trial.norm,
                    "epsilon": self.setup.epsilon,
                    "defence": name,
                    "error": error,
                    **nothing,
                }
            )
            for name in entry.defences
        ]
        return Harvest(rows)


def _probed(parts: Sequence[Harvest]) -> dict[str, Any]:
    """Keep what models said of the first image that gave anything."""
    return next(({"probe": p.facts["probe"]} for p in parts if "probe" in p.facts), {})


def _once(findings: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    return list({(found["kind"], found["about"]): found for found in findings}.values())
