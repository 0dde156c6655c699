"""Ray on this machine: equal bytes, deaths of actors, nothing open to others."""

import importlib.util
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from bandlimiter.errors import ConfigurationError
from bandlimiter.evaluation.executors import InProcess, RayCluster
from bandlimiter.evaluation.executors.ray_session import ray_session
from tests.evaluation.executors.driving import (
    descendants,
    gone,
    killing,
    marked,
    run,
    shard_files,
    start,
    until,
)
from tests.evaluation.executors.toy import Toy

pytestmark = [
    pytest.mark.endurance,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra ray"),
]
TWO = RayCluster(2, 1)


@pytest.fixture(scope="module")
def ray() -> Iterator[ModuleType]:
    """One connection for all tests here: it takes seconds to start."""
    with ray_session(None, cpus=2) as module:
        yield module


@pytest.mark.usefixtures("ray")
def test_actors_killed_before_during_and_after_their_work_cost_nothing(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    toy = Toy(marks, {0: "once:sleep"}, after={3: "once:sleep"}, building="once:sleep")
    # While it builds; at work; when it has computed and not yet answered.
    with killing(marks / "building", marks / "before-0", marks / "after-3"):
        run(tmp_path / "run", toy, TWO, 4)
    run(tmp_path / "undisturbed", Toy(marks), InProcess(1), 4)
    assert shard_files(tmp_path / "run") == shard_files(tmp_path / "undisturbed")


@pytest.mark.usefixtures("ray")
def test_poison_is_set_aside_and_stdout_stays_clean(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    toy = Toy(tmp_path, {0: "print", 1: "exit", 3: "unpicklable"})
    rows = run(None, toy, RayCluster(1, 1), 5, size=1).rows()
    clean = run(None, Toy(tmp_path), InProcess(1), 5, size=1).rows()
    errors = {row.image: row.error for row in rows if row.error}
    assert errors == {1: "its process left with exit code 5", 3: "OddError: odd"}
    assert [row for row in rows if not row.error] == [r for r in clean if r.image not in errors]
    assert capfd.readouterr().out == ""


@pytest.mark.usefixtures("ray")
def test_a_worker_that_cannot_start_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        run(None, Toy(tmp_path, building="configuration"), RayCluster(1, 1), 2)
    assert str(caught.value) == "expected sense, got none"


@pytest.mark.usefixtures("ray")
def test_what_no_machine_can_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"Ray has: CPU 2, GPU"):
        run(None, Toy(tmp_path), RayCluster(1, 3), 1)
    with pytest.raises(ConfigurationError, match="connected already"):
        run(None, Toy(tmp_path), RayCluster(1, 1, address="auto"), 1)


@pytest.mark.usefixtures("ray")
def test_it_listens_to_this_machine_alone() -> None:
    ours = {socket for process in descendants(os.getpid()) for socket in _sockets(process)}
    lines = [
        line.split()
        for name in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
    ]
    addresses = [
        fields[1].split(":")[0]
        for fields in lines
        if fields[3] == "0A" and fields[9] in ours  # 0A: TCP_LISTEN, include/net/tcp_states.h
    ]
    assert len(addresses) >= 5  # the servers of head, node and agents are seen at all
    loopback = {
        "0100007F",  # 127.0.0.1, in the order of bytes that Linux prints
        "0000000000000000FFFF00000100007F",  # the same inside IPv6
        "00000000000000000000000001000000",  # ::1
    }
    assert set(addresses) <= loopback


def test_ctrl_c_ends_ray_in_good_order(tmp_path: Path) -> None:
    toy = Toy(tmp_path / "marks", {2: "once:sleep"})
    driver = start(tmp_path / "run", toy, ["ray", 1, 1], 3)
    marked(toy.folder / "before-2")
    processes = descendants(driver.pid) - {driver.pid}
    assert len(processes) >= 5
    os.killpg(driver.pid, signal.SIGINT)
    stdout, stderr = driver.communicate(timeout=60)
    until(lambda: all(map(gone, processes)), seconds=20)
    assert (driver.returncode, stdout) == (130, "")
    assert "Traceback" not in stderr
    run(tmp_path / "run", toy, InProcess(1), 3)
    assert len(list(toy.folder.glob("built-*"))) == 2  # nothing was blamed, or a child had built
    run(tmp_path / "undisturbed", Toy(toy.folder), InProcess(1), 3)
    assert shard_files(tmp_path / "run") == shard_files(tmp_path / "undisturbed")


def _sockets(process: int) -> Iterator[str]:
    for file in Path(f"/proc/{process}/fd").glob("*"):
        try:
            target = str(file.readlink())
        except OSError:
            continue  # closed meanwhile
        if target.startswith("socket:["):
            yield target[8:-1]
