"""A worker process seen from its parent: started, asked, heard, ended."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import connection, get_context, resource_tracker

from bandlimiter.evaluation.executors.outcomes import Died, Outcome
from bandlimiter.evaluation.executors.parcel import Parcel
from bandlimiter.evaluation.executors.serving import serve
from bandlimiter.results.runs import Shard

_PATIENCE = 5.0  # seconds to leave in, once there is nothing to do


class Child:
    """One process with a worker.

    Parameters
    ----------
    parcel
        The worker, packed; see `pack`.
    threads
        Of torch, and of what else heeds ``OMP_NUM_THREADS``.
    """

    def __init__(self, parcel: Parcel, threads: int) -> None:
        context = get_context("spawn")  # a fork of a process with threads may hang
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, parcel, threads))
        self._built = self._asked = False
        with _inherited(threads):
            self._process.start()
        theirs.close()  # else the pipe would stay open when the child is dead

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.is_alive()

    @property
    def signs(self) -> "list[connection.Connection | int]":
        """What to wait for."""
        return [self._pipe, self._process.sentinel]

    @property
    def spoke(self) -> bool:
        """Whether there is something to hear, its death included."""
        return bool(connection.wait(self.signs, timeout=0))

    def ask(self, shard: Shard) -> None:
        """Give it a shard to do."""
        self._asked = True
        with suppress(OSError):  # it is dead: `answer` says so
            self._pipe.send(shard)

    def answer(self) -> Outcome | None:
        """Return what it says; None where it says that it is ready."""
        outcome: Outcome | None
        try:
            # Its last words are read before its death is noticed.
            outcome = self._pipe.recv() if self._pipe.poll() else self._death()
        except (EOFError, OSError):
            outcome = self._death()
        self._built, self._asked = True, self._asked and outcome is None
        return outcome

    def do(self, shard: Shard) -> Outcome:
        """Do a shard, and wait for it."""
        self.ask(shard)
        while True:
            connection.wait(self.signs)
            outcome = self.answer()
            if outcome is not None:
                return outcome

    def end(self) -> None:
        """End the process: at once if it works on something."""
        if self._asked:
            self._process.kill()
        self._pipe.close()
        self._process.join(_PATIENCE)
        if self.alive:
            self._process.kill()
            self._process.join()

    def _death(self) -> Died:
        self._process.join(_PATIENCE)
        if self.alive:  # it closed its pipe and goes on
            self._process.kill()
            self._process.join()
        return Died(_ended(self._process.exitcode or 0), building=not self._built)


def _ended(code: int) -> str:
    """Say how a process ended, from its exit code.

    >>> _ended(-9), _ended(3)
    ('was ended by SIGKILL', 'left with exit code 3')
    """
    if code >= 0:
        return f"left with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


@contextmanager
def _inherited(threads: int) -> Iterator[None]:
    """Start children with their number of threads, and deaf to Ctrl-C from the first moment.

    A terminal sends Ctrl-C to all processes; the driver ends its children itself.
    """
    resource_tracker.ensure_running()  # starting it later would unblock the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    said = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = str(threads)
    try:
        yield
    finally:
        if said is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = said
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
