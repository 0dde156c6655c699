"""Several processes: equal rows, deaths of workers and of the driver, order at the end."""

import json
import os
import signal
from pathlib import Path

import pytest

from bandlimiter.errors import ConfigurationError
from bandlimiter.evaluation.executors import InProcess, Processes
from tests.evaluation.executors.driving import gone, kill, marked, run, start, until
from tests.evaluation.executors.toy import Toy

pytestmark = pytest.mark.slow
TWO = ["processes", 2, 1]


def shard_files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "shards").iterdir()}


@pytest.fixture
def marks(tmp_path: Path) -> Path:
    folder = tmp_path / "marks"
    folder.mkdir()
    return folder


def local(folder: Path, marks: Path, shards: int) -> Path:
    """Do it here, undisturbed."""
    run(folder / "local", Toy(marks), InProcess(1), shards)
    return folder / "local"


def test_two_processes_give_the_bytes_of_one(tmp_path: Path, marks: Path) -> None:
    run(tmp_path / "two", Toy(marks), Processes(2, 1), 5)
    assert len(list(marks.glob("built-*"))) == 2  # a bench a worker, and no more
    assert shard_files(tmp_path / "two") == shard_files(local(tmp_path, marks, 5))


def test_poison_of_three_kinds_is_set_aside_and_stdout_stays_clean(
    tmp_path: Path, marks: Path
) -> None:
    orders = {0: "print", 2: "kill", 5: "segfault", 6: "exit", 9: "raise"}
    driver = start(tmp_path / "run", Toy(marks, orders), TWO, 5)
    stdout, _ = driver.communicate()
    assert json.loads(stdout) == {"rows": 10}
    rows = run(tmp_path / "run", Toy(marks), Processes(2, 1), 5).rows()
    clean = run(None, Toy(marks), InProcess(1), 5).rows()
    errors = {row.image: row.error for row in rows if row.error}
    assert errors == {
        2: "its process was ended by SIGKILL",
        5: "its process was ended by SIGSEGV",
        6: "its process left with exit code 5",
        9: "ValueError: bad image",
    }
    assert [r for r in rows if not r.error] == [r for r in clean if r.image not in errors]


def test_a_worker_killed_while_building_during_and_after_its_work_costs_nothing(
    tmp_path: Path, marks: Path
) -> None:
    toy = Toy(marks, {0: "once:sleep", -5: "once:sleep"})
    driver = start(tmp_path / "run", toy, TWO, 4)
    kill(marked(marks / "before-0"))
    kill(marked(marks / "after-5"))  # it has computed, and not yet answered
    stdout, _ = driver.communicate()
    assert json.loads(stdout) == {"rows": 8}
    assert shard_files(tmp_path / "run") == shard_files(local(tmp_path, marks, 4))


@pytest.mark.parametrize("how", ["sigkill", "ctrl-c"])
def test_a_driver_that_ends_leaves_no_orphan_and_goes_on_later(
    tmp_path: Path, marks: Path, how: str
) -> None:
    toy = Toy(marks, {2: "once:sleep", 4: "once:sleep"})
    driver = start(tmp_path / "run", toy, TWO, 4)
    workers = [marked(marks / "before-2"), marked(marks / "before-4")]
    if how == "sigkill":
        driver.kill()
    else:
        os.killpg(driver.pid, signal.SIGINT)  # as a terminal does: the children get it too
    _, stderr = driver.communicate(timeout=30)
    until(lambda: all(map(gone, workers)), seconds=5)
    if how == "ctrl-c":
        assert driver.returncode == 130
        assert "Traceback" not in stderr
    begun = [
        json.loads(line) for line in (tmp_path / "run/attempts.jsonl").read_text().splitlines()
    ]
    ends = [line["event"] for line in begun if line["shard"] in ("01", "02")]
    assert sorted(ends) == ["begin", "begin"] + ["release"] * (2 * (how == "ctrl-c"))
    run(tmp_path / "run", toy, Processes(2, 1), 4)
    assert shard_files(tmp_path / "run") == shard_files(local(tmp_path, marks, 4))


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ("configuration", "expected sense, got none"),
        ("strange", "got ZeroDivisionError: why"),
        ("kill", "3 deaths in a row before they had their models.*SIGKILL"),
    ],
)
def test_a_bench_that_cannot_be_built_ends_the_run_in_one_line(
    marks: Path, order: str, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        run(None, Toy(marks, building=order), Processes(1, 1), 2)
    assert "\n" not in str(caught.value)


def test_what_cannot_be_sent_is_refused_before_anything_starts(marks: Path) -> None:
    toy = Toy(marks, {0: lambda: None})
    with pytest.raises(ConfigurationError, match="use one worker in this process"):
        run(None, toy, Processes(2, 1), 2)
