"""Files that are there whole or not at all."""

import os
from contextlib import suppress
from pathlib import Path

# Windows has no links to follow by accident, and closes files at exec; it wants to hear of bytes.
_ELSEWHERE = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_CLOEXEC", "O_BINARY"))
_NEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _ELSEWHERE


def temporary(path: Path) -> Path:
    """Return where a file is written before it gets its name."""
    return path.with_name(f".{path.name}.tmp")


def write_whole(path: Path, content: bytes | str) -> Path:
    """Replace a file so that any crash leaves the old one or the new one; durable on return.

    Parameters
    ----------
    path
        Where; what is written first is beside it.
    content
        Bytes, or text for UTF-8; see `printable`.

    Returns
    -------
    Path
        The file's.

    Raises
    ------
    OSError
        Where it cannot be written, with a message of one line that names it; the old file is as
        it was.
    """
    data = content if isinstance(content, bytes) else printable(content).encode()
    new = temporary(path)
    try:
        _write_new(new, data)
        new.replace(path)
        sync_folder(path.parent)
    except BaseException as error:
        with suppress(OSError):
            new.unlink()
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror or str(error), str(path)) from error
        raise
    return path


def printable(text: str) -> str:
    r"""Return text that any encoding of Unicode can hold: other bytes as backslash escapes.

    File names are bytes, and Python keeps those that are no UTF-8 in a way of its own.

    Examples
    --------
    >>> import os
    >>> printable(os.fsdecode(b"caf\xe9.png")), printable("café.png")
    ('caf\\udce9.png', 'café.png')
    """
    return text.encode("utf-8", "backslashreplace").decode()


def sync_folder(folder: Path) -> None:
    """Make names in a folder durable, where the system can be asked to."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_new(path: Path, data: bytes) -> None:
    file = os.open(path, _NEW, 0o666)
    try:
        _write_all(file, data)
        os.fsync(file)
    finally:
        os.close(file)


def _write_all(file: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(file, left) :]
