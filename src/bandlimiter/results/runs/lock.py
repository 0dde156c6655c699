"""One process per run: a lock that the system lets go of when its holder dies, however it dies."""

import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from bandlimiter.errors import ConfigurationError
from bandlimiter.results.files import write_whole
from bandlimiter.results.runs.folder import HOLDER, LOCK, unwritable

_GLANCE = 0.05  # seconds: another reader may be looking, too
_PATIENCE = 0.5  # seconds: readers hold the lock for an instant to see whether it is free


class RunLock:
    """Held from construction to `release`: SQLite's own locks last for a transaction only.

    Raises
    ------
    ConfigurationError
        Where another process holds it; one line that names process, host and since when.
    OSError
        Where the folder cannot be written to.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._lock = folder, _lock(folder)
        try:
            self._lock.acquire(timeout=_PATIENCE, poll_interval=0.02)
        except Timeout as error:
            raise ConfigurationError(
                f"expected a run that nobody works on, {folder} is in use by {_holder(folder)}; "
                "wait for it, or end it"
            ) from error
        except OSError as error:
            raise unwritable(error) from error
        try:
            since = datetime.now(UTC).isoformat(timespec="seconds")
            said = {"process": os.getpid(), "host": socket.gethostname(), "since": since}
            write_whole(folder / HOLDER, json.dumps(said))
        except OSError as error:
            self._lock.release()
            raise unwritable(error) from error

    @property
    def held(self) -> bool:
        """Whether this process holds it; a fork of the holder does not."""
        return self._lock.is_locked

    def release(self) -> None:
        """Let go of it; again is harmless."""
        if self.held:
            (self._folder / HOLDER).unlink(missing_ok=True)
            self._lock.release()


def in_use(folder: Path) -> bool:
    """Whether a process, this one included, holds a run's lock.

    Where the folder cannot be written to, nobody knows; False then.
    """
    if not (folder / LOCK).is_file():
        return False
    probe = _lock(folder)
    try:
        probe.acquire(timeout=_GLANCE, poll_interval=0.005)
    except Timeout:
        return True
    except OSError:
        return False
    probe.release()
    return False


def _lock(folder: Path) -> FileLock:
    # Not thread-local: whichever thread closes the store lets go of the lock.
    return FileLock(folder / LOCK, thread_local=False)


def _holder(folder: Path) -> str:
    try:
        said = json.loads((folder / HOLDER).read_bytes())
        return f"process {said['process']} on {said['host']} since {said['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
