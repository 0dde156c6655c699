"""What a run is: its identity, its shards, the kind of its rows; and settings for its readers."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from bandlimiter.errors import ConfigurationError
from bandlimiter.results.runs.identity import canonical, differences, plain_name
from bandlimiter.results.runs.shards import Shard


@dataclass(frozen=True)
class Description:
    """A run's parts, as JSON holds them.

    Attributes
    ----------
    rows
        The class of its rows by name; see `ROW_TYPES`.
    """

    identity: dict[str, Any]
    shards: tuple[Shard, ...]
    settings: dict[str, Any]
    rows: str

    @classmethod
    def of(
        cls,
        identity: Mapping[str, Any],
        shards: Sequence[Shard],
        settings: Mapping[str, Any],
        rows: str,
    ) -> "Description":
        """Check a run's parts.

        Raises
        ------
        ConfigurationError
            If shards' names are not plain or not unique, or JSON cannot hold the rest.
        """
        seen = set()
        for shard in shards:
            # Some file systems take "A" and "a" for one file.
            if (folded := plain_name(shard.name, "shard's name").casefold()) in seen:
                raise ConfigurationError(f"expected one shard per name, got {shard.name!r} twice")
            seen.add(folded)
        try:
            plain = json.loads(json.dumps(dict(settings)))
        except (TypeError, ValueError) as error:
            raise ConfigurationError(f"expected settings that JSON can hold: {error}") from error
        return cls(json.loads(canonical(dict(identity))), tuple(shards), plain, rows)

    @cached_property
    def text(self) -> str:
        """All but the settings, as canonical JSON."""
        plan = [[shard.name, shard.item, list(shard.images)] for shard in self.shards]
        return canonical({"identity": self.identity, "shards": plan, "rows": self.rows})

    @cached_property
    def hash(self) -> str:
        """SHA-256 of `text`: identity and plan, order included."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @classmethod
    def from_text(cls, text: str, settings: str) -> "Description":
        """Read `text` and the settings' JSON back."""
        found = json.loads(text)
        shards = [Shard(name, item, tuple(images)) for name, item, images in found["shards"]]
        return cls(found["identity"], tuple(shards), json.loads(settings), found["rows"])

    def differences_from(self, old: "Description") -> str:
        """Say in one line what of the old is another here."""
        return differences(old.identity, self.identity) or differences(old._plan, self._plan)

    @property
    def _plan(self) -> dict[str, Any]:
        """For people: shards by name."""
        plan = {
            shard.name: {"item": shard.item, "images": list(shard.images)} for shard in self.shards
        }
        return {"shard": plan, "order of shards": list(plan), "rows": self.rows}
