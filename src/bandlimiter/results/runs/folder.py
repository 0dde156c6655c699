"""A run's folder: what lies in it, whether one may write there, and where runs are."""

import os
from pathlib import Path

from bandlimiter.errors import ConfigurationError, LoadError
from bandlimiter.results.files import sync_folder, temporary

DATABASE = "run.sqlite"
LOCK = "lock"
HOLDER = "holder.json"
"""Who holds the lock."""
SHARDS = "shards"
"""The folder of arrays."""

JOURNAL = f"{DATABASE}-journal"
"""SQLite's own, while it writes: what takes a commit back that was cut off."""
OWN = (DATABASE, JOURNAL, LOCK, HOLDER, SHARDS)

_BEFORE_RUN = {LOCK, HOLDER, *(temporary(Path(name)).name for name in (HOLDER, DATABASE))}
"""What a crash before there is a database can leave."""
_FORMER = ("run.json", "rows.jsonl")
_DEPTH = 3
_NETWORKS = (
    "nfs",
    "cifs",
    "smb",
    "sshfs",
    "lustre",
    "gpfs",
    "ceph",
    "beegfs",
    "gluster",
    "9p",
    "afs",
)


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
    if DATABASE not in names and (others := sorted(names - _BEFORE_RUN)):
        if former := _former(folder):
            raise ConfigurationError(f"{former}; name another folder")
        raise ConfigurationError(
            f"expected a new or empty folder for the run, {folder} holds {others[0]!r} but no run; "
            "name another one"
        )
    _refuse_others(folder)


def sweep(folder: Path) -> None:
    """Remove what crashes have left half-written in a run that this process holds."""
    for place in (folder, folder / SHARDS):
        for path in place.glob(".*.tmp"):
            path.unlink(missing_ok=True)


def require_run(folder: Path) -> Path:
    """Return where a run's database lies.

    Raises
    ------
    LoadError
        If there is none; a run of a former version is named as such.
    """
    path = folder / DATABASE
    if not path.is_file():
        former = _former(folder)
        raise LoadError(former or f"expected a run with {DATABASE} in {folder}, found none")
    return path


def find_runs(folder: Path) -> list[Path]:
    """Return the runs in or below a folder, sorted; at most three levels down.

    Symbolic links are not followed, and nothing is looked for inside a run.
    """
    return sorted(_runs(Path(folder), _DEPTH))


def unwritable(error: OSError) -> OSError:
    """Return an error of the same kind that says what is kept and what to do."""
    return OSError(
        error.errno,
        f"{error.strerror or error}: cannot write to this run; finished shards are kept, and the "
        "same command goes on from there once it can",
        error.filename,
    )


def on_network(folder: Path) -> bool:
    """Whether a folder is known to lie on a network file system, whose locks may not hold."""
    if str(folder.absolute()).startswith(("\\\\", "//")):  # how Windows names a share
        return True
    try:
        lines = Path("/proc/self/mounts").read_text().splitlines()
    except OSError:
        return False  # no Linux: nobody says
    mounts = {words[1]: words[2] for line in lines if len(words := line.split()) > 2}
    places = (str(place) for place in (folder.resolve(), *folder.resolve().parents))
    kind = next((mounts[place] for place in places if place in mounts), "")
    return kind.removeprefix("fuse.").startswith(_NETWORKS)


def _former(folder: Path) -> str | None:
    for name in _FORMER:
        if (folder / name).is_file():
            return (
                f"expected a run with {DATABASE}, {folder} holds one of the former kind ({name}); "
                "bandlimiter 0.1 reads it"
            )
    return None


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
    if (folder / DATABASE).is_file():
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
