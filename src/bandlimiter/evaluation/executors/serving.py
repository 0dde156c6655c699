"""What runs in a worker process: start a worker once, then do shard after shard."""

import ctypes
import os
import pickle
import signal
import sys
from contextlib import suppress
from functools import partial
from multiprocessing import connection, parent_process
from threading import Thread

import torch

from bandlimiter.evaluation.executors.outcomes import Raised, Stopped, attempt, said, trying
from bandlimiter.evaluation.executors.parcel import Parcel

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def serve(pipe: "connection.Connection", parcel: Parcel, threads: int) -> None:
    """Start a worker, say so (None), and answer shards with outcomes until the pipe is closed.

    Parameters
    ----------
    pipe
        To the parent.
    parcel
        The worker, packed; see `pack`.
    threads
        Of torch.
    """
    end_with_parent()
    prepare_process(threads)
    with suppress(EOFError, OSError):  # the parent has closed the pipe: there is no more to do
        try:
            worker = parcel.open(pickle.loads)
            worker.start()
            parcel.close()
        except BaseException as error:  # noqa: BLE001  (it travels to the driver)
            pipe.send(Stopped.of(error))
            return
        pipe.send(None)
        while True:
            shard = pipe.recv()
            _send(pipe, trying(partial(attempt, worker, shard)))


def prepare_process(threads: int) -> None:
    """Set the number of threads; send what is printed to stderr: stdout is the driver's."""
    torch.set_num_threads(threads)
    with suppress(OSError, ValueError, AttributeError):  # closed, in one way or another
        sys.stdout.flush()
        os.dup2(2, 1)


def end_with_parent() -> None:
    """End this process when its parent ends, however that comes about."""
    if sys.platform == "linux":  # the kernel sees to it, also while native code runs
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    parent = parent_process()
    if parent is not None:
        Thread(target=_end_after, args=(parent.sentinel,), daemon=True).start()


def _end_after(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)


def _send(pipe: "connection.Connection", outcome: object) -> None:
    try:
        pipe.send(outcome)
    except OSError:
        raise
    except Exception as error:  # noqa: BLE001  (nothing was sent: it could not be pickled)
        pipe.send(Raised(said(error)))
