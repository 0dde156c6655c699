"""Several processes on this machine: a `ProcessPoolExecutor` of one for each worker.

A death breaks only the pool that it happens in, so it is known which shard it happened on.
"""

import os
import pickle
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from multiprocessing import resource_tracker
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from bandlimiter.errors import ConfigurationError
from bandlimiter.evaluation.executors.outcomes import Died, Outcome, Raised, said
from bandlimiter.evaluation.executors.pool import Member, pack, require_positive
from bandlimiter.evaluation.executors.worker import Worker
from bandlimiter.evaluation.executors.worker_process import do_into, prepare, start
from bandlimiter.results.runs import Shard

_PATIENCE = 5.0  # seconds that a broken pool's process has to be gone


@dataclass(frozen=True)
class Processes:
    """Work is done by processes that this one starts.

    A script that uses them keeps its own work under ``if __name__ == "__main__":``, for workers
    import it again.

    Attributes
    ----------
    workers
        How many; each holds models and images.
    threads
        Of each.
    devices
        Of which each worker sees one as its only GPU, in turns, such as ``("cuda:0", "cuda:1")``.
    """

    workers: int = 2
    threads: int = 1
    devices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        require_positive(workers=self.workers, threads=self.threads)
        for device in self.devices:
            if not (device.startswith("cuda:") and device[5:].isdigit()):
                raise ConfigurationError(f"expected devices like cuda:0,cuda:1, got {device!r}")

    @contextmanager
    def pool(self, worker: Worker, shards: int) -> "Iterator[ProcessPool]":
        """See `Executor`."""
        gpus = [_visible(device) for device in self.devices]
        pool = ProcessPool(pack(worker), self.threads, min(self.workers, shards), gpus)
        try:
            yield pool
        finally:
            pool.close()


class ProcessPool:
    """Processes that unpack the worker from one file: see `Pool`.

    Parameters
    ----------
    packed
        The worker; see `pack`. What is given to a process as it starts goes through a pipe whose
        reading end stays open here: were it more than the pipe holds, a child that dies there
        would hang this process. So it travels in a file.
    threads
        Of each process.
    size
        How many there may be.
    gpus
        Of which each process sees one, in turns.
    """

    def __init__(
        self, packed: bytes, threads: int, size: int = 1, gpus: Sequence[str] = ()
    ) -> None:
        self.size = size
        self._threads, self._gpus, self._numbers = threads, gpus, count()
        self._folder = Path(tempfile.mkdtemp(prefix="bandlimiter-workers-"))
        (self._folder / "worker").write_bytes(packed)

    def start(self) -> Member:
        """Start a process."""
        return self.start_alone()

    def start_alone(self) -> Member:
        """Start a process."""
        number = next(self._numbers)
        gpu = self._gpus[number % len(self._gpus)] if self._gpus else None
        return ProcessMember(self._folder, self._threads, gpu)

    def close(self) -> None:
        """Remove the file, and what processes left beside it."""
        shutil.rmtree(self._folder, ignore_errors=True)


class ProcessMember:
    """One process, as a pool of one: see `Member`.

    Parameters
    ----------
    folder
        Where the worker lies, and results are put.
    threads
        Of the process.
    gpu
        The one that it sees, as ``CUDA_VISIBLE_DEVICES`` names it; None for all.
    """

    def __init__(self, folder: Path, threads: int, gpu: str | None) -> None:
        self._folder, context = folder, _RememberingContext()
        self._pool = ProcessPoolExecutor(
            1, mp_context=context, initializer=prepare, initargs=(threads, folder)
        )
        try:
            with _inherited(threads, gpu):
                self.ready: Future[Any] = self._pool.submit(start, folder / "worker")
        except BaseException:  # Ctrl-C, say
            for process in context.processes:
                process.kill()
            raise
        (self._process,) = context.processes

    def submit(self, shard: Shard) -> "Future[Any]":
        """Give it a shard."""
        try:
            return self._pool.submit(do_into, self._folder, shard)
        except BrokenProcessPool:  # it died with nothing to do
            gone: Future[Any] = Future()
            gone.set_result(Died(self._ended(), blameless=True))
            return gone

    def outcome(self, future: "Future[Any]") -> Outcome | None:
        """Return what came of a future."""
        try:
            found = future.result()
        except BrokenProcessPool:
            return Died(self._ended())
        except (pickle.PicklingError, TypeError, AttributeError) as error:
            return Raised(said(error))  # what it gave could not be sent
        if not isinstance(found, Path):
            return found  # type: ignore[no-any-return]
        outcome: Outcome = pickle.loads(found.read_bytes())  # noqa: S301  (our own process's)
        found.unlink()
        return outcome

    def close(self) -> None:
        """Kill the process: nothing of its is lost."""
        self._process.kill()
        self._pool.shutdown(cancel_futures=True)

    def _ended(self) -> str:
        end = time.monotonic() + _PATIENCE
        # The pool's own thread may be burying it: until it has, nobody gets the code.
        while (code := self._process.exitcode) is None and time.monotonic() < end:
            time.sleep(0.01)
        if code is None:
            return "closed its pipe"
        if code >= 0:
            return f"left with exit code {code}"
        try:
            return f"was ended by {signal.Signals(-code).name}"
        except ValueError:
            return f"was ended by signal {-code}"


class _RememberingContext(SpawnContext):
    """Starts processes anew, as a fork of one with threads may hang, and remembers them."""

    def __init__(self) -> None:
        self.processes: list[BaseProcess] = []

    def Process(self, *args: Any, **kwargs: Any) -> BaseProcess:  # type: ignore[override]  # noqa: N802
        process = SpawnProcess(*args, **kwargs)
        self.processes.append(process)
        return process


@contextmanager
def _inherited(threads: int, gpu: str | None) -> Iterator[None]:
    """Start a process with its threads and GPU, and with SIGINT blocked from the start.

    A terminal sends Ctrl-C to all processes; the driver ends its children itself.
    """
    given = {"OMP_NUM_THREADS": str(threads)}
    if gpu is not None:
        given["CUDA_VISIBLE_DEVICES"] = gpu
    before = {name: os.environ.get(name) for name in given}
    mask = None
    if hasattr(signal, "pthread_sigmask"):
        resource_tracker.ensure_running()  # starting it later would unblock the signal
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    os.environ.update(given)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        if mask is not None:  # last: a Ctrl-C that waited for it is raised here
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _visible(device: str) -> str:
    """Return what names a GPU to a process that is to see no other."""
    number, visible = int(device.removeprefix("cuda:")), os.environ.get("CUDA_VISIBLE_DEVICES")
    if not visible:
        return str(number)
    names = visible.split(",")
    if number >= len(names):
        raise ConfigurationError(
            f"expected a device that is visible, got {device} with CUDA_VISIBLE_DEVICES={visible}"
        )
    return names[number]
