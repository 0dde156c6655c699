"""Whether a folder was begun with the settings that are asked for now."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bandlimiter.errors import ConfigurationError


def require_same(folder: Path, known: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Refuse to go on with a folder that was begun with other settings.

    Parameters
    ----------
    folder
        Whose rows or weights these are.
    known, asked
        What it was begun with, and what is asked for, both as JSON holds them.

    Raises
    ------
    ConfigurationError
        (a ValueError) that names the first setting that differs.
    """
    for name in {**asked, **known}:
        before, now = known.get(name), asked.get(name)
        if before != now:
            raise ConfigurationError(
                f"expected the settings that {folder} was begun with, but {name} was {before!r} "
                f"and is {now!r}; give the same ones, or name another folder"
            )
