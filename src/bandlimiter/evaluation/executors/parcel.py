"""Bytes for child processes, in a file that has no name and is gone with its last reader."""

import mmap
import os
import tempfile
from collections.abc import Callable
from multiprocessing import reduction
from typing import IO, Any


class Parcel:
    """Content that a child reads when it gets to it.

    What is given to a process as it starts goes through a pipe whose reading end stays open in
    the parent: were it more than the pipe holds, a child that dies there would hang its parent.

    Parameters
    ----------
    content
        At least one byte.

    Examples
    --------
    >>> with Parcel(b"models") as parcel:
    ...     parcel.open(bytes)
    b'models'
    """

    def __init__(self, content: bytes) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (closed by `close`)
        self._file.write(content)
        self._file.flush()

    def open(self, read: Callable[[Any], Any]) -> Any:
        """Return what a function makes of the content, which it gets as a buffer."""
        # A file's position is shared between processes; a mapping has none.
        with mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return read(content)

    def close(self) -> None:
        """Let go of it; children keep theirs."""
        self._file.close()

    def __enter__(self) -> "Parcel":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _received, (reduction.DupFd(self._file.fileno()),)


def _received(handle: Any) -> Parcel:
    parcel = Parcel.__new__(Parcel)
    parcel._file = os.fdopen(handle.detach(), "rb")
    return parcel
