"""One process a run: a lock that the kernel lets go of when its holder dies, however it dies."""

import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from bandlimiter.errors import ConfigurationError
from bandlimiter.results.files import locked
from bandlimiter.results.runs.files import explained, write_file
from bandlimiter.results.runs.layout import HOLDER, LOCK

_PATIENCE = 0.5  # seconds: readers hold the lock for an instant to see whether it is free


class RunLock:
    """Held from construction to `release`.

    Raises
    ------
    ConfigurationError
        Where another process holds it; one line that names process, host and since when.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # Not thread-local: whichever thread closes the store lets go of the lock.
        self._lock = FileLock(folder / LOCK, timeout=_PATIENCE, thread_local=False)
        try:
            self._lock.acquire(poll_interval=0.02)
        except Timeout as error:
            raise ConfigurationError(
                f"expected a run that nobody works on, {folder} is in use by {holder(folder)}; "
                "wait for it, or end it"
            ) from error
        except OSError as error:
            raise explained(error, folder / LOCK) from error
        try:
            write_file(folder / HOLDER, json.dumps(_self()).encode())
        except BaseException:
            self._lock.release()
            raise

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
    """Whether a process, this one included, holds a run's lock. Writes nothing."""
    return locked(folder / LOCK)


def holder(folder: Path) -> str:
    """Say who holds a run's lock, in a few words."""
    try:
        said = json.loads((folder / HOLDER).read_bytes())
        return f"process {said['process']} on {said['host']} since {said['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def _self() -> dict[str, str | int]:
    since = datetime.now(UTC).isoformat(timespec="seconds")
    return {"process": os.getpid(), "host": socket.gethostname(), "since": since}
