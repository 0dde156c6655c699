"""What a shard's file says of itself: format, run and shard, so that none passes for another."""

import json
from collections.abc import Mapping
from typing import Any

from bandlimiter.errors import LoadError

FORMAT = 1
LABELS = "bandlimiter"
"""The one key of a file's metadata: safetensors writes several in random order."""


def labels_of(run: str, shard: str) -> dict[str, Any]:
    """Return the labels of a shard of a run, which is named by its whole hash."""
    return {"format": FORMAT, "run": run, "shard": shard}


def check_labels(text: str | bytes | None, expected: Mapping[str, Any]) -> dict[str, Any]:
    """Read labels, with what else is beside them, and hold them against those expected.

    Raises
    ------
    LoadError
        If there are none, the format is another, or they belong to another run or shard.
    """
    try:
        labels: dict[str, Any] = json.loads(text or "")
        found = {key: labels[key] for key in expected}
    except (ValueError, TypeError, KeyError) as error:
        raise LoadError("expected a file of a run, got one without its labels") from error
    check_format(found["format"])
    for key in ("run", "shard"):
        if found[key] != expected[key]:
            raise LoadError(
                f"expected a file of {key} {expected[key]:.80}, got one of {found[key]!s:.80}"
            )
    return labels


def check_format(found: object) -> None:
    """Refuse what another version of this package wrote.

    Raises
    ------
    LoadError
        If the format is not this version's.
    """
    if found != FORMAT:
        raise LoadError(
            f"expected run format {FORMAT}, got {found!r:.40}; "
            "read it with the version of bandlimiter that wrote it"
        )
