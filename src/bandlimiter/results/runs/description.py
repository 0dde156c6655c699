"""What a run is: its identity, its shards and their hash, in ``run.json``; beside them settings."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bandlimiter.errors import ConfigurationError, LoadError
from bandlimiter.results.runs.files import write_file
from bandlimiter.results.runs.identity import canonical, differences, digest, plain_name
from bandlimiter.results.runs.labels import FORMAT, check_format
from bandlimiter.results.runs.layout import RUN
from bandlimiter.results.runs.shards import Shard


@dataclass(frozen=True)
class Description:
    """A run's identity, plan and settings, as JSON holds them."""

    identity: dict[str, Any]
    shards: tuple[Shard, ...]
    settings: dict[str, Any]

    @classmethod
    def of(
        cls, identity: Mapping[str, Any], shards: Sequence[Shard], settings: Mapping[str, Any]
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
                raise ConfigurationError(f"expected one shard a name, got {shard.name!r} twice")
            seen.add(folded)
        try:
            plain = json.loads(json.dumps(dict(settings)))
        except (TypeError, ValueError) as error:
            raise ConfigurationError(f"expected settings that JSON can hold: {error}") from error
        return cls(json.loads(canonical(dict(identity))), tuple(shards), plain)

    @cached_property
    def hash(self) -> str:
        """SHA-256 over identity and plan, order included; settings are no part of it."""
        return digest(self._hashed)

    def differences_from(self, old: "Description") -> str:
        """Say in one line what of the old is another here."""
        return differences(old.identity, self.identity) or differences(old._plan, self._plan)

    def to_bytes(self) -> bytes:
        """Return the content of ``run.json``."""
        head = {"format": FORMAT, "hash": self.hash}
        document = {**head, **self._hashed, "settings": self.settings}
        return (json.dumps(document, indent=1) + "\n").encode()

    @property
    def _hashed(self) -> dict[str, Any]:
        plan = [[shard.name, shard.item, list(shard.images)] for shard in self.shards]
        return {"identity": self.identity, "shards": plan}

    @property
    def _plan(self) -> dict[str, Any]:
        """For people: shards by name."""
        plan = {
            shard.name: {"item": shard.item, "images": list(shard.images)} for shard in self.shards
        }
        return {"shard": plan, "order of shards": list(plan)}


def read_description(folder: Path) -> Description:
    """Read ``run.json``.

    Raises
    ------
    LoadError
        If there is none, it is of another format, or was edited.
    """
    path = folder / RUN
    if not path.is_file():
        raise LoadError(f"expected a run with {RUN} in {folder}, found none")
    try:
        found = json.loads(path.read_bytes())
        check_format(found["format"])
        shards = [Shard(name, item, tuple(images)) for name, item, images in found["shards"]]
        description = Description.of(found["identity"], shards, found["settings"])
        as_written = description.hash == found["hash"]
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise LoadError(
            f"expected a run's description in {path}, it is damaged ({error}); restore it, or "
            "start anew in another folder"
        ) from error
    if not as_written:
        raise LoadError(
            f"expected {path} as it was written, its identity was changed by hand; restore it, or "
            "start anew in another folder"
        )
    return description


def open_description(folder: Path, description: Description) -> None:
    """Write ``run.json`` in a new run; in an old one, check that it is the same run.

    Settings are replaced: they say how the run was continued last.

    Raises
    ------
    ConfigurationError
        If the folder holds a run with another identity; the message names what differs.
    LoadError
        If what it holds cannot be read.
    """
    if (folder / RUN).exists():
        old = read_description(folder)
        if old.hash != description.hash:
            raise ConfigurationError(
                f"expected the settings of the run in {folder}, got others: "
                f"{description.differences_from(old)}; repeat its settings to continue it, or "
                "name another folder"
            )
        if old == description:
            return
    write_file(folder / RUN, description.to_bytes())
