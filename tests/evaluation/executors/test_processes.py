"""Several processes: equal bytes, deaths of workers and of the driver, order at the end."""

import os
import pickle
import signal
import tempfile
from multiprocessing import resource_tracker, spawn
from pathlib import Path
from typing import Any

import pytest

from bandlimiter.errors import ConfigurationError
from bandlimiter.evaluation.executors import InProcess, Processes, run_shards
from bandlimiter.evaluation.executors.outcomes import Died
from bandlimiter.results.runs import RunStore, ShardResult
from tests.evaluation.executors.driving import (
    gone,
    killing,
    marked,
    run,
    shard_contents,
    start,
    until,
)
from tests.evaluation.executors.toy import Toy, plan

TWO = Processes(2, 1)


def undisturbed(folder: Path, shards: int) -> dict[str, Any]:
    """Return the files of a run that is done here in one go."""
    run(folder / "undisturbed", Toy(folder / "marks"), InProcess(1), shards)
    return shard_contents(folder / "undisturbed")


@pytest.mark.slow
def test_two_processes_give_the_bytes_of_one(tmp_path: Path) -> None:
    run(tmp_path / "run", Toy(tmp_path / "two", {0: "gather"}), TWO, 5)
    assert len(list((tmp_path / "two").glob("built-*"))) == 2  # one per process, and no more
    assert shard_contents(tmp_path / "run") == undisturbed(tmp_path, 5)


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_of_a_shard_costs_nothing(tmp_path: Path) -> None:
    toy = Toy(tmp_path / "marks", {2: "once:sleep"})
    with killing(toy.folder / "before-2"):
        run(tmp_path / "run", toy, TWO, 3)
    assert shard_contents(tmp_path / "run") == undisturbed(tmp_path, 3)


@pytest.mark.slow
def test_a_worker_that_dies_with_nothing_to_do_costs_nothing(tmp_path: Path) -> None:
    with Processes(1, 1).pool(Toy(tmp_path), 1) as pool:
        member = pool.start()
        member.ready.result()
        (built,) = tmp_path.glob("built-*")
        process = int(built.name.removeprefix("built-"))
        os.kill(process, signal.SIGKILL)
        until(lambda: gone(process))
        shard, died = plan(1)[0], None
        while died is None:  # until its pool has noticed, a shard may still be taken
            outcome = member.outcome(member.submit(shard))
            died = outcome if isinstance(outcome, Died) else None
        assert died.how == "was ended by SIGKILL"
        assert member.outcome(member.submit(shard)) == Died("was ended by SIGKILL", blameless=True)
        member.close()


@pytest.mark.slow
def test_a_store_that_fails_leaves_no_worker(tmp_path: Path) -> None:
    class Full(RunStore):
        def begin(self, shard):
            raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        run_shards(Full(None, {}, plan(2), settings={}), Toy(tmp_path), Processes(1, 1))
    (built,) = tmp_path.glob("built-*")
    assert gone(int(built.name.removeprefix("built-")))


@pytest.mark.slow
def test_results_larger_than_a_pipe_travel_in_files(tmp_path: Path) -> None:
    """What goes through the pipe is one write that no death cuts in two (PIPE_BUF, POSIX)."""
    toy = Toy(tmp_path, {0: "large"})
    with Processes(1, 1).pool(toy, 1) as pool:
        member = pool.start()
        member.ready.result()
        future = member.submit(plan(1, 1)[0])
        assert len(pickle.dumps(future.result())) < 512
        outcome = member.outcome(future)
        assert isinstance(outcome, ShardResult)
        assert len(outcome.arrays["images"]) == 2_000_001
        member.close()


@pytest.mark.slow
def test_poison_is_set_aside_and_stdout_stays_clean(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    toy = Toy(tmp_path / "marks", {0: "print", 1: "raise", 2: "segfault"})
    rows = run(None, toy, Processes(1, 1), 3, size=1).rows()
    clean = run(None, Toy(toy.folder), InProcess(1), 3, size=1).rows()
    errors = {row.image: row.error for row in rows if row.error}
    assert errors == {1: "ValueError: bad image", 2: "its process was ended by SIGSEGV"}
    assert [row for row in rows if not row.error] == [r for r in clean if r.image not in errors]
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "from python" in captured.err
    assert "from below python" in captured.err


@pytest.mark.slow
@pytest.mark.parametrize("how", ["sigkill", "ctrl-c"])
def test_a_driver_that_ends_leaves_no_orphan_and_goes_on_later(
    tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy = Toy(tmp_path / "marks", {2: "once:sleep", 4: "once:sleep"})
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    driver = start(tmp_path / "run", toy, ["processes", 2, 1], 4)
    workers = [marked(toy.folder / "before-2"), marked(toy.folder / "before-4")]
    if how == "sigkill":
        driver.kill()
    else:
        os.killpg(driver.pid, signal.SIGINT)  # as a terminal does: the workers get it too
    _, stderr = driver.communicate(timeout=60)
    until(lambda: all(map(gone, workers)), seconds=10)
    assert driver.returncode == (-signal.SIGKILL if how == "sigkill" else 130)
    assert "Traceback" not in stderr
    assert not list(tmp_path.glob("bandlimiter-workers-*"))
    with RunStore(tmp_path / "run", {"threads": 1}, plan(4), settings={}) as store:
        # A shard is blamed where its driver died, and not where it was told to end.
        blamed = [shard.name for shard in plan(4) if store.attempts(shard)]
    assert blamed == (["01", "02"] if how == "sigkill" else [])
    run(tmp_path / "run", toy, InProcess(1), 4)
    assert shard_contents(tmp_path / "run") == undisturbed(tmp_path, 4)


def test_a_worker_that_cannot_start_ends_the_run_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        run(None, Toy(tmp_path, building="configuration"), Processes(1, 1), 2)
    assert str(caught.value) == "expected sense, got none"


def test_what_cannot_be_sent_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="use one worker in this process"):
        run(None, Toy(tmp_path, {0: lambda: None}), TWO, 2)


def test_a_child_that_dies_as_it_starts_does_not_hang_its_parent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    resource_tracker.ensure_running()  # with Python, before this:
    before = spawn.get_executable()
    spawn.set_executable("/bin/false")
    try:
        # More than a pipe holds, as models are: they must not travel in it.
        toy = Toy(tmp_path, dict.fromkeys(range(10000), "raise"))
        with pytest.raises(
            ConfigurationError,
            match="3 deaths in a row before that, in the last the process left with exit code 1",
        ):
            run(None, toy, Processes(1, 1), 2)
    finally:
        spawn.set_executable(before)
    assert not list(tmp_path.glob("bandlimiter-workers-*"))


@pytest.mark.slow
def test_each_worker_sees_its_own_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether there are any or not, and among those that are visible here."""
    for visible, seen in ((None, {"1", "0"}), ("3,7", {"7", "3"})):
        if visible:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        marks = tmp_path / str(visible)
        toy = Toy(marks, {0: "gather"}, building="device")
        run(None, toy, Processes(2, 1, ("cuda:1", "cuda:0")), 4, size=1)
        told = {path.read_text() for path in marks.glob("device-*")}
        assert told == seen
        assert os.environ.get("CUDA_VISIBLE_DEVICES") == visible
