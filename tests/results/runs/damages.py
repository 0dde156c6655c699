"""What a full disk, a kill or a power cut may leave of a file, and worse."""

from collections.abc import Callable
from pathlib import Path


def _cut(length: Callable[[int], int]) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        data = path.read_bytes()
        path.write_bytes(data[: length(len(data))])

    return damage


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _zeros(path: Path) -> None:
    """A file system that kept the length and lost the content."""
    path.write_bytes(bytes(path.stat().st_size))


WAYS: dict[str, Callable[[Path], None]] = {
    "empty": _cut(lambda size: 0),
    "one byte": _cut(lambda size: min(1, size)),
    "half": _cut(lambda size: size // 2),
    "all but one": _cut(lambda size: max(0, size - 1)),
    "zeros": _zeros,
    "deleted": Path.unlink,
    "folder": _folder,
}


def files(folder: Path) -> list[str]:
    """Return the files in or below a folder, by their names in it."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def is_one_line(error: BaseException) -> bool:
    return bool(str(error)) and "\n" not in str(error)
