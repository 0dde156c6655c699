"""A run's folder before anything is written to it: new, empty or a run's; and where runs are."""

import os
from pathlib import Path

from bandlimiter.errors import ConfigurationError
from bandlimiter.results.files import sync_folder, temporary
from bandlimiter.results.runs.layout import HOLDER, LOCK, OWN, RUN, SHARDS

_BEFORE_RUN = {LOCK, HOLDER, *(temporary(Path(name)).name for name in (HOLDER, RUN))}
"""What a crash before ``run.json`` can leave."""
_DEPTH = 3


def claim_folder(folder: Path) -> None:
    """Make a run's folder, or check that one may go on in it.

    Raises
    ------
    ConfigurationError
        If it is a file or a symbolic link, has links or folders where files of a run are, holds
        files but no run, is read-only or cannot be made.
    """
    if folder.is_symlink():
        # The link may lead elsewhere tomorrow, and two names for a run are one too many.
        raise ConfigurationError(
            f"expected a folder for the run, {folder} is a symbolic link; name the folder itself"
        )
    if folder.exists() and not folder.is_dir():
        raise ConfigurationError(f"expected a folder for the run, {folder} is a file; name another")
    names = _made(folder)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigurationError(
            f"expected a folder for the run that can be written to, {folder} is read-only; "
            "name another one"
        )
    if RUN not in names and (others := sorted(names - _BEFORE_RUN)):
        raise ConfigurationError(
            f"expected a new or empty folder for the run, {folder} holds {others[0]!r} but no run; "
            "name another one"
        )
    _refuse_others(folder)


def find_runs(folder: Path) -> list[Path]:
    """Return the runs in or below a folder, sorted; at most three levels down.

    Symbolic links are not followed, and nothing is looked for inside a run.
    """
    return sorted(_runs(Path(folder), _DEPTH))


def _made(folder: Path) -> set[str]:
    """Make a folder, durably; return the names in it."""
    try:
        if not folder.exists():
            folder.mkdir(parents=True, exist_ok=True)
            sync_folder(folder.parent)
        return {path.name for path in folder.iterdir()}
    except OSError as error:
        raise ConfigurationError(
            f"expected a folder for the run, {folder} cannot be used ({error.strerror}); "
            "name another one"
        ) from error


def _refuse_others(folder: Path) -> None:
    """What is written through a link may land anywhere, and what is read come from anywhere."""
    for path in (*(folder / name for name in OWN), *_inside(folder / SHARDS)):
        wanted = "a folder" if path.name == SHARDS else "a file"
        if (found := _what(path)) not in (None, wanted):
            raise ConfigurationError(
                f"expected {wanted} of the run, {path} is {found}; put back what was there, or "
                "remove it"
            )


def _what(path: Path) -> str | None:
    if path.is_symlink():
        return "a symbolic link"
    if not path.exists():
        return None
    return "a folder" if path.is_dir() else "a file"


def _runs(folder: Path, depth: int) -> list[Path]:
    if (folder / RUN).is_file():
        return [folder]
    if depth == 0:
        return []
    inside = (path for path in _inside(folder) if path.is_dir() and not path.is_symlink())
    return [run for path in inside for run in _runs(path, depth - 1)]


def _inside(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []  # not there, or not ours to look into
