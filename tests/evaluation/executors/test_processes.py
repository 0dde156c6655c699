"""Several processes: equal bytes, deaths of workers and of the driver, order at the end."""

import json
import os
import signal
from collections import Counter
from multiprocessing import resource_tracker, spawn
from pathlib import Path

import pytest

from bandlimiter.errors import ConfigurationError
from bandlimiter.evaluation.executors import InProcess, Processes
from bandlimiter.evaluation.executors.child import Child
from bandlimiter.evaluation.executors.outcomes import Died
from bandlimiter.evaluation.executors.parcel import Parcel
from bandlimiter.results.runs import Shard
from tests.evaluation.executors.driving import (
    gone,
    killing,
    marked,
    run,
    shard_files,
    start,
    until,
)
from tests.evaluation.executors.toy import Toy

TWO = Processes(2, 1)


def undisturbed(folder: Path, shards: int) -> dict[str, bytes]:
    """Return the files of a run that is done here in one go."""
    run(folder / "undisturbed", Toy(folder / "marks"), InProcess(1), shards)
    return shard_files(folder / "undisturbed")


@pytest.mark.slow
def test_two_processes_give_the_bytes_of_one(tmp_path: Path) -> None:
    run(tmp_path / "run", Toy(tmp_path / "two"), TWO, 5)
    assert len(list((tmp_path / "two").glob("built-*"))) == 2  # one per process, and no more
    assert shard_files(tmp_path / "run") == undisturbed(tmp_path, 5)


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_of_a_shard_costs_nothing(tmp_path: Path) -> None:
    toy = Toy(tmp_path / "marks", {2: "once:sleep"})
    with killing(toy.folder / "before-2"):
        run(tmp_path / "run", toy, TWO, 3)
    assert shard_files(tmp_path / "run") == undisturbed(tmp_path, 3)


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
def test_a_driver_that_ends_leaves_no_orphan_and_goes_on_later(tmp_path: Path, how: str) -> None:
    toy = Toy(tmp_path / "marks", {2: "once:sleep", 4: "once:sleep"})
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
    lines = (tmp_path / "run" / "attempts.jsonl").read_text().splitlines()
    events = Counter((line["shard"], line["event"]) for line in map(json.loads, lines))
    for shard in ("01", "02"):
        assert events[shard, "begin"] == 1
        assert events[shard, "release"] == (how == "ctrl-c")
    run(tmp_path / "run", toy, InProcess(1), 4)
    assert shard_files(tmp_path / "run") == undisturbed(tmp_path, 4)


def test_a_worker_that_cannot_start_ends_the_run_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        run(None, Toy(tmp_path, building="configuration"), Processes(1, 1), 2)
    assert str(caught.value) == "expected sense, got none"


def test_what_cannot_be_sent_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="use one worker in this process"):
        run(None, Toy(tmp_path, {0: lambda: None}), TWO, 2)


def test_a_child_that_dies_as_it_starts_does_not_hang_its_parent() -> None:
    resource_tracker.ensure_running()  # with Python, before this:
    before = spawn.get_executable()
    spawn.set_executable("/bin/false")
    try:
        # Sixteen megabytes: more than the pipe holds through which a process is started.
        with Parcel(bytes(2**24)) as parcel:
            child = Child(parcel, 1)
            assert child.do(Shard("00", "toy", (0,))) == Died(
                "left with exit code 1", building=True
            )
            child.end()
    finally:
        spawn.set_executable(before)
