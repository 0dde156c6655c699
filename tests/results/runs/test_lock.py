"""One process a run: the second is refused by the first one's name, and death frees the lock."""

import os
import signal
import socket
import threading
from pathlib import Path

import pytest

from bandlimiter.errors import ConfigurationError
from bandlimiter.results.runs import RunStore, StoredRun
from tests.results.runs.material import IDENTITY, PLAN, SETTINGS, harvest_of
from tests.results.runs.processes import holding


def opened(folder: Path) -> RunStore:
    return RunStore(folder, IDENTITY, PLAN, settings=SETTINGS)


def test_a_second_process_is_refused_and_told_by_whom(tmp_path: Path) -> None:
    with holding(tmp_path / "run") as first:
        with pytest.raises(ConfigurationError) as refused:
            opened(tmp_path / "run")
        said = str(refused.value)
        assert f"process {first.pid} on {socket.gethostname()} since 20" in said
        assert "\n" not in said
        # The refusal changed nothing for the first, nor for a third.
        with pytest.raises(ConfigurationError, match=f"process {first.pid} "):
            opened(tmp_path / "run")
        assert StoredRun.open(tmp_path / "run").state == "in use"
        assert StoredRun.open(tmp_path / "run").rows() == harvest_of(PLAN[0]).rows
        first.communicate("")
        assert first.returncode == 0
    with opened(tmp_path / "run") as store:
        assert store.missing() == PLAN[1:]


def test_a_second_command_disturbs_nothing_that_the_first_is_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even a file that is half-written and looks left over."""
    refused = []

    def replace(self: Path, target: Path) -> Path:
        with pytest.raises(ConfigurationError, match="in use"):
            opened(tmp_path / "run")
        refused.append(target.name)
        return pathlib_replace(self, target)

    with opened(tmp_path / "run") as store:
        pathlib_replace = Path.replace
        monkeypatch.setattr(Path, "replace", replace)
        store.put(PLAN[0], harvest_of(PLAN[0]))
    assert refused == [f"{PLAN[0].name}.safetensors"]
    monkeypatch.undo()
    assert StoredRun.open(tmp_path / "run").rows() == harvest_of(PLAN[0]).rows


def test_death_frees_the_lock_at_once(tmp_path: Path) -> None:
    with holding(tmp_path / "run") as first:
        first.kill()
        assert first.wait() == -signal.SIGKILL
        assert StoredRun.open(tmp_path / "run").state == "unfinished"
        with opened(tmp_path / "run") as store:
            assert store.rows() == harvest_of(PLAN[0]).rows


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_of_the_holder_does_not_keep_the_lock(tmp_path: Path) -> None:
    """Workers may be forked and outlive their driver; and they must not write."""
    then = (
        "from bandlimiter.errors import ConfigurationError\n"
        "reading, writing = os.pipe()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    try:\n"
        "        store.put(PLAN[1], harvest_of(PLAN[1]))\n"
        "        os.write(writing, b'wrote')\n"
        "    except ConfigurationError:\n"
        "        store.close()\n"
        "        os.write(writing, b'refused')\n"
        "    sys.stdin.read()\n"
        "    os._exit(0)\n"
        "print(child, os.read(reading, 9).decode(), flush=True)\n"
        "sys.stdin.read()\n"
    )
    with holding(tmp_path / "run", then) as first:
        assert first.stdout is not None
        child, said = first.stdout.readline().split()
        try:
            assert said == "refused"
            # Closing in the fork did not open the run to others.
            with pytest.raises(ConfigurationError, match=f"process {first.pid} "):
                opened(tmp_path / "run")
            first.kill()
            first.wait()
            os.kill(int(child), 0)  # it is still there
            opened(tmp_path / "run").close()
        finally:
            os.kill(int(child), signal.SIGKILL)


def test_one_process_has_it_once(tmp_path: Path) -> None:
    with opened(tmp_path / "run"):
        with pytest.raises(ConfigurationError, match=f"process {os.getpid()} "):
            opened(tmp_path / "run")
        assert StoredRun.open(tmp_path / "run").state == "in use"
    opened(tmp_path / "run").close()


def test_another_thread_may_close_it(tmp_path: Path) -> None:
    store = opened(tmp_path / "run")
    thread = threading.Thread(target=store.close)
    thread.start()
    thread.join()
    opened(tmp_path / "run").close()


def test_readers_do_not_keep_a_writer_out(tmp_path: Path) -> None:
    """They look whether the lock is free by holding it for an instant."""
    opened(tmp_path / "run").close()
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            StoredRun.open(tmp_path / "run")

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for _ in range(20):
            opened(tmp_path / "run").close()
    finally:
        stop.set()
        reader.join()


def test_an_error_inside_frees_the_lock(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), opened(tmp_path / "run"):
        raise KeyboardInterrupt
    assert StoredRun.open(tmp_path / "run").state == "unfinished"
    opened(tmp_path / "run").close()
