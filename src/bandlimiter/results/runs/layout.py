"""Where things lie in a run's folder."""

from pathlib import Path

RUN = "run.json"
"""Identity, plan and settings."""
LOCK = "lock"
HOLDER = "holder.json"
"""Who holds the lock."""
MANIFEST = "manifest.jsonl"
"""The finished shards."""
TIMINGS = "timings.jsonl"
ATTEMPTS = "attempts.jsonl"
"""The started shards."""
SHARDS = "shards"

OWN = (RUN, LOCK, HOLDER, MANIFEST, TIMINGS, ATTEMPTS, SHARDS)


def shard_paths(folder: Path, shard: str) -> tuple[Path, Path]:
    """Return where a shard's rows and its arrays lie; the name is a plain one."""
    base = folder / SHARDS
    return base / f"{shard}.parquet", base / f"{shard}.safetensors"


def temporaries(folder: Path) -> list[Path]:
    """Return what crashes have left of such files."""
    return list(folder.glob(".*.tmp"))
