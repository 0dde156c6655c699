"""Certified rows, one per image: in a folder that a killed command goes on with."""

import fcntl
import json
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from pydantic import BaseModel, ConfigDict, ValidationError

from bandlimiter.errors import ConfigurationError, LoadError
from bandlimiter.results.files import append, write_whole
from bandlimiter.results.settings import require_same

ROWS = "rows.jsonl"
TABLE = "certified.tsv"
"""The rows again, in the columns that the literature's analysis scripts read."""

CERTIFIED = "certified.json"
"""What a finished run has beside its rows; written last."""

IDENTITY = "identity.json"
"""What the rows depend on."""

COLUMNS = ("idx", "label", "predict", "radius", "correct", "time")


class CertifiedRow(BaseModel):
    """What is certified of one image."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    image: int
    label: int
    plain: int
    """The plain model's label."""
    certified: int | None
    """The label of the average; None where that is not known (an abstention)."""
    radius: float
    """The largest that is certified, L2 in the units of x, in pixels; 0 where none is."""
    undecided: int
    """At how many radii the samples left it open."""
    share: float
    """Of the samples: the label's votes, or its mean gain over the runner-up."""
    samples: int
    seconds: float

    @property
    def right(self) -> bool:
        """Whether the average's label is known and right."""
        return self.certified == self.label

    def columns(self) -> str:
        """Write it as the literature does, with all digits of the radius."""
        predicted = -1 if self.certified is None else self.certified
        time = timedelta(seconds=self.seconds)
        values = (self.image, self.label, predicted, self.radius, int(self.right), time)
        return "\t".join(map(str, values)) + "\n"


class CertifiedRows:
    """Rows as they come, in memory and, with a folder, on disk: JSON lines and a table beside.

    Parameters
    ----------
    folder
        Made where it is missing; None keeps nothing on disk. Where it holds rows of the same
        identity, these are the first ones here.
    identity
        What the rows depend on, as JSON holds it.

    Raises
    ------
    ConfigurationError
        (a ValueError) where the folder cannot be made, is in use, or holds rows of another
        identity, which are not overwritten.
    LoadError
        Where a whole line of its rows is damaged.
    """

    def __init__(self, folder: Path | None, identity: dict[str, Any]) -> None:
        self.rows: list[CertifiedRow] = []
        self._files: list[BinaryIO] = []
        if folder is not None:
            self._open(folder, json.loads(json.dumps(identity)))

    def add(self, rows: Iterable[CertifiedRow]) -> None:
        """Append rows to the lines, then to the table; durable on return.

        What a failure leaves out of the table is put there when the folder is opened again.

        Raises
        ------
        OSError
            Where there is no room.
        """
        new = list(rows)
        lines = "".join(row.model_dump_json() + "\n" for row in new)
        table = "".join(row.columns() for row in new)
        for file, text in zip(self._files, (lines, table), strict=False):
            append(file.fileno(), text.encode())
        self.rows.extend(new)

    def _open(self, folder: Path, identity: dict[str, Any]) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            rows = (folder / ROWS).open("ab", buffering=0)
        except OSError as error:
            raise ConfigurationError(f"cannot write to {folder}: {error.strerror}") from error
        self._files = [rows]
        try:
            fcntl.flock(rows, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._close()
            raise ConfigurationError(
                f"expected a folder that nobody works in, another process writes to {folder}; wait "
                "for it, or name another one"
            ) from None
        try:
            content = (folder / ROWS).read_bytes()
            if b"\n" in content:
                require_same(folder, _known(folder), identity)
            rows.truncate(content.rfind(b"\n") + 1)  # a line that was cut off
            self.rows = _parsed(folder / ROWS, content)
            write_whole(folder / IDENTITY, json.dumps(identity, indent=2) + "\n")
            table = "\t".join(COLUMNS) + "\n" + "".join(row.columns() for row in self.rows)
            write_whole(folder / TABLE, table)
            self._files.append((folder / TABLE).open("ab", buffering=0))
        except BaseException:
            self._close()
            raise

    def _close(self) -> None:
        for file in self._files:
            file.close()
        self._files = []

    def __enter__(self) -> "CertifiedRows":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()


def read_certified(folder: Path) -> list[CertifiedRow]:
    """Read a run's certified rows back.

    Raises
    ------
    LoadError
        If there are none, or a line is not a certified row.
    """
    path = folder / ROWS
    if not path.is_file():
        raise LoadError(f"expected a run with {ROWS} in {folder}, found none")
    return _parsed(path, path.read_bytes())


def _parsed(path: Path, content: bytes) -> list[CertifiedRow]:
    """Parse all whole lines."""
    rows = []
    for number, line in enumerate(content.split(b"\n")[:-1], start=1):
        try:
            rows.append(CertifiedRow.model_validate_json(line))
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            raise LoadError(
                f"expected a certified row in line {number} of {path}: {reason}"
            ) from error
    return rows


def _known(folder: Path) -> dict[str, Any]:
    """Return what a folder's rows depend on; nothing where that cannot be read."""
    try:
        known: dict[str, Any] = json.loads((folder / IDENTITY).read_bytes())
    except (OSError, ValueError):
        return {}
    return known
