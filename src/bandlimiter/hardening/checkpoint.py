"""What a run of training keeps in its folder: the last state, and a line for each epoch."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from bandlimiter.errors import ConfigurationError, LoadError
from bandlimiter.models.card import CARD, CHECKPOINT
from bandlimiter.results.files import write_whole
from bandlimiter.results.settings import require_same

IDENTITY = "settings.json"
LOG = "log.tsv"
COLUMNS = ("epoch", "step", "seconds", "rate", "loss", "clean", "noisy", "steady")

Row = dict[str, float | None]
"""One line of `LOG`, by column."""


class RunFolder:
    """A folder that a killed run goes on in, for one process at a time; None keeps nothing.

    Parameters
    ----------
    path
        Made where it is missing.
    identity
        What the weights depend on, as JSON holds it.

    Raises
    ------
    ConfigurationError
        On entering: for a folder that cannot be made, that is in use, that holds something else,
        or that was begun with other settings.
    """

    def __init__(self, path: Path | None, identity: dict[str, Any]) -> None:
        self.path = path
        self._identity = json.loads(json.dumps(identity))
        self._lock: FileLock | None = None

    def __enter__(self) -> "RunFolder":
        if self.path is None:
            return self
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(self.path / ".lock", timeout=0)
            self._lock.acquire()
            self._require_own(self.path)
        except Timeout:
            raise ConfigurationError(
                f"expected a folder that nobody works in, another process trains in {self.path}"
            ) from None
        except OSError as error:
            self.__exit__()
            raise ConfigurationError(f"cannot write to {self.path}: {error.strerror}") from error
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        if self._lock is not None:
            self._lock.release()

    def _require_own(self, path: Path) -> None:
        if not (path / IDENTITY).is_file() and any(each.name[0] != "." for each in path.iterdir()):
            raise ConfigurationError(
                f"expected a folder of `harden`, or an empty one, got {path}; name another"
            )
        if any((path / name).is_file() for name in (CHECKPOINT, CARD)):  # else nothing was done
            require_same(path, _known(path), self._identity)
        write_whole(path / IDENTITY, json.dumps(self._identity, indent=2) + "\n")

    @property
    def finished(self) -> bool:
        """Whether all that a run writes is there."""
        return self.path is not None and (self.path / CARD).is_file()

    def read(self) -> dict[str, Any] | None:
        """Return the last state, or None.

        Raises
        ------
        LoadError
            For one that is damaged.
        """
        if self.path is None or not (self.path / CHECKPOINT).is_file():
            return None
        try:
            state: dict[str, Any] = torch.load(
                self.path / CHECKPOINT, map_location="cpu", weights_only=True
            )
        except Exception as error:  # a damaged file may fail anywhere in the reader
            raise LoadError(
                f"expected the state of a run in {self.path / CHECKPOINT}, which is damaged; "
                "delete it to begin anew"
            ) from error
        return state

    def write(self, state: dict[str, Any], history: Sequence[Row]) -> None:
        """Replace the last state and the lines so far."""
        if self.path is None:
            return
        content = io.BytesIO()
        torch.save(state, content)
        write_whole(self.path / CHECKPOINT, content.getvalue())
        self.log(history)

    def log(self, history: Sequence[Row]) -> None:
        """Write a line for each epoch."""
        if self.path is not None:
            rows = ([_shown(row.get(name)) for name in COLUMNS] for row in history)
            lines = ("\t".join(each) + "\n" for each in (COLUMNS, *rows))
            write_whole(self.path / LOG, "".join(lines))

    def drop_state(self) -> None:
        """Delete the state, which a finished run does not need."""
        if self.path is not None:
            (self.path / CHECKPOINT).unlink(missing_ok=True)


def read_log(folder: Path) -> list[Row]:
    """Read the rows of a folder's `LOG` back; those that are not whole have six digits.

    Raises
    ------
    LoadError
        If it is missing or damaged.
    """
    try:
        lines = (folder / LOG).read_text().splitlines()[1:]
        cells = ([_parsed(cell) for cell in line.split("\t")] for line in lines)
        return [dict(zip(COLUMNS, row, strict=True)) for row in cells]
    except (OSError, ValueError) as error:
        raise LoadError(f"expected a row for each epoch in {folder / LOG}: {error}") from error


def _shown(value: float | None) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return "" if value is None else str(value)


def _parsed(cell: str) -> float | None:
    if not cell:
        return None
    return int(cell) if cell.isdigit() else float(cell)


def _known(folder: Path) -> dict[str, Any]:
    """Return the settings that a folder was begun with."""
    try:
        known = json.loads((folder / IDENTITY).read_text())
    except (OSError, ValueError) as error:
        raise LoadError(f"expected settings in {folder / IDENTITY}: {error}") from error
    if not isinstance(known, dict):
        raise LoadError(f"expected settings in {folder / IDENTITY}, got none")
    return known
