"""Certified rows, one an image, and their file."""

from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from pydantic import BaseModel, ConfigDict

from bandlimiter.results.files import append
from bandlimiter.results.lines import claim_folder, open_rows, read_lines

CERTIFIED = "certified.json"
"""What a finished run has beside its rows; written last."""


class CertifiedRow(BaseModel):
    """What is certified of one image."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    image: int
    label: int
    plain: int
    """The plain model's label."""
    certified: int | None
    """The certified label; None where the classifier abstains."""
    margin: float
    """Lower bound; -1 where the image was given up early."""
    radius: float
    """L2 in the network's input space, 0 where it abstains."""
    radius_pixels: float
    samples: int

    @property
    def right_radius(self) -> float:
        """The radius within which the answer is right; 0 where it is wrong, or none."""
        return self.radius if self.certified == self.label else 0.0


class CertifiedRows:
    """Rows as they come, in memory and, with a folder, as JSON lines on disk.

    Parameters
    ----------
    folder
        Made where it is missing; None keeps nothing on disk. Rows of a run that did not end are
        set aside there as ``rows.jsonl.1`` and so on.

    Raises
    ------
    ConfigurationError
        (a ValueError) where it cannot be made, holds a finished run, which is not overwritten, or
        is in use.
    """

    def __init__(self, folder: Path | None) -> None:
        self.rows: list[CertifiedRow] = []
        self._folder = folder
        self._file: BinaryIO | None = None
        if folder is not None:
            claim_folder(folder, CERTIFIED)

    def add(self, rows: Iterable[CertifiedRow]) -> None:
        """Append rows, all of them or none; durable on return.

        Raises
        ------
        OSError
            Where there is no room.
        """
        new = list(rows)
        if self._folder is not None:
            self._file = self._file or open_rows(self._folder)
            lines = "".join(row.model_dump_json() + "\n" for row in new)
            append(self._file.fileno(), lines.encode())
        self.rows.extend(new)

    def __enter__(self) -> "CertifiedRows":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()


def read_certified(folder: Path) -> list[CertifiedRow]:
    """Read a run's certified rows back.

    Raises
    ------
    LoadError
        If there are none, or a line is not a certified row.
    """
    return read_lines(folder, CertifiedRow, "certified row")
