"""What goes on in a worker's process: a worker is unpacked once, then does shard after shard."""

import os
import pickle
import shutil
import signal
import sys
import tempfile
from contextlib import suppress
from multiprocessing import connection, parent_process
from pathlib import Path
from threading import Thread

import torch

from bandlimiter.evaluation.executors.outcomes import Outcome, attempt, unpack_and_start
from bandlimiter.evaluation.executors.worker import Worker
from bandlimiter.results.runs import Shard

_worker: Worker | None = None


def prepare(threads: int, folder: Path | None = None) -> None:
    """Set this process up: its threads; stdout is the driver's; it ends with the driver.

    Parameters
    ----------
    threads
        Of torch.
    folder
        What the driver would have removed, had it ended otherwise.
    """
    if (parent := parent_process()) is not None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's
        Thread(target=_end_after, args=(parent.sentinel, folder), daemon=True).start()
    with suppress(OSError, ValueError, AttributeError):  # closed, in one way or another
        sys.stdout.flush()
        os.dup2(2, 1)
    torch.set_num_threads(threads)


def start(packed: bytes | Path) -> None:
    """Unpack and start this process's worker, from bytes or a file."""
    global _worker
    _worker = unpack_and_start(packed if isinstance(packed, bytes) else packed.read_bytes())


def do(shard: Shard) -> Outcome:
    """Do a shard with this process's worker."""
    assert _worker is not None  # noqa: S101  (for the type checker)
    return attempt(_worker, shard)


def do_into(folder: Path, shard: Shard) -> Path:
    """Do a shard; return a file with its pickled outcome.

    A pipe holds 64 KiB: a process that died with half of a larger message sent would leave its
    driver waiting for the rest.
    """
    content = pickle.dumps(do(shard))
    with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
        file.write(content)
    return Path(file.name)


def _end_after(sentinel: int, folder: Path | None) -> None:
    connection.wait([sentinel])
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)
