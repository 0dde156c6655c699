"""A small run: its identity, its plan, and what each shard gives."""

from typing import Any

import numpy as np

from bandlimiter.results import Row
from bandlimiter.results.runs import Shard, ShardResult

IDENTITY = {"kind": "attacks", "weights": "3f9a", "defence": {"radius": 6.0, "directions": 15}}
SETTINGS = {"class_names": ["cat", "<img src=x onerror=alert(1)>"]}
PLAN = [Shard(f"000{i}-fgsm", "fgsm", (2 * i, 2 * i + 1)) for i in range(3)]


def row(image: int, **changes: Any) -> Row:
    """Return a row of an image that the attack broke."""
    values: dict[str, Any] = {
        "image": image,
        "label": 3,
        "attack": "fgsm",
        "protocol": "minimal",
        "threat": "transfer",
        "quick": False,
        "epsilon": 8 / 255,
        "plain_clean": 3,
        "defended_clean": 3,
        "found": True,
        "within_budget": True,
        "plain_adversarial": 5,
        "defended_adversarial": 5,
        "linf": 1 / 255,
        "l2": 0.3,
        "l2_normalised": 1.25,
    }
    return Row(**(values | changes))


def harvest_of(shard: Shard) -> ShardResult:
    """Return what a shard gives: the same each time, another for each shard."""
    noise = np.random.default_rng(shard.images[0])
    failed = {"plain_clean": -1, "defended_clean": -1, "error": "killed by SIGKILL"}
    return ShardResult(
        rows=[row(shard.images[0]), row(shard.images[1], **failed)],
        arrays={"images": noise.random((2, 3, 8, 8), np.float32), "ids": np.array(shard.images)},
        facts={"exhibits": [{"image": i, "attack": "fgsm"} for i in shard.images]},
        timings=[{"images": 2, "seconds": 0.25}],
    )
