"""Ray on this machine: equal rows, deaths of actors, nothing open to others."""

import importlib.util
import json
import os
import signal
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from threading import Thread

import pytest

from bandlimiter.errors import ConfigurationError
from bandlimiter.evaluation.executors import InProcess, RayCluster
from bandlimiter.evaluation.executors.ray_session import ray_session
from tests.evaluation.executors.driving import gone, kill, marked, run, start, until
from tests.evaluation.executors.toy import Toy

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra ray"),
]
TWO = RayCluster(2, 1)


@pytest.fixture(scope="module")
def ray() -> Iterator:
    """One connection for all tests here: it takes seconds to start."""
    with ray_session(None, cpus=2) as module:
        yield module


@pytest.fixture
def marks(tmp_path: Path) -> Path:
    folder = tmp_path / "marks"
    folder.mkdir()
    return folder


def shard_files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "shards").iterdir()}


def test_actors_give_the_bytes_of_one_process(ray, tmp_path: Path, marks: Path) -> None:
    run(tmp_path / "ray", Toy(marks), TWO, 5)
    run(tmp_path / "local", Toy(marks), InProcess(1), 5)
    assert shard_files(tmp_path / "ray") == shard_files(tmp_path / "local")


def test_poison_and_exceptions_read_as_with_processes(ray, tmp_path: Path, marks: Path) -> None:
    printed = StringIO()
    with redirect_stdout(printed):
        rows = run(None, Toy(marks, {0: "print", 2: "kill", 7: "unpicklable"}), TWO, 4).rows()
    clean = run(None, Toy(marks), InProcess(1), 4).rows()
    errors = {row.image: row.error for row in rows if row.error}
    assert errors == {2: "its process was ended by SIGKILL", 7: "Unpicklable: odd"}
    assert [r for r in rows if not r.error] == [r for r in clean if r.image not in errors]
    assert "python" not in printed.getvalue()


def test_an_actor_killed_before_during_and_after_its_work_costs_nothing(
    ray, tmp_path: Path, marks: Path
) -> None:
    toy = Toy(marks, {0: "once:sleep", -3: "once:sleep"}, building="once:sleep")
    places = "building", "before-0", "after-3"  # the last has computed, and not yet answered
    killers = [Thread(target=lambda p=place: kill(marked(marks / p))) for place in places]
    for killer in killers:
        killer.start()
    run(tmp_path / "ray", toy, TWO, 4)
    for killer in killers:
        killer.join()
    run(tmp_path / "local", Toy(marks), InProcess(1), 4)
    assert shard_files(tmp_path / "ray") == shard_files(tmp_path / "local")


def test_a_bench_that_cannot_be_built_ends_the_run(ray, marks: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"^expected sense, got none$"):
        run(None, Toy(marks, building="configuration"), TWO, 2)


def test_what_no_machine_can_hold_is_refused(ray, marks: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"Ray has: CPU 2, GPU"):
        run(None, Toy(marks), RayCluster(1, 3), 1)
    with pytest.raises(ConfigurationError, match="connected already"):
        run(None, Toy(marks), RayCluster(1, 1, address="auto"), 1)


def test_it_listens_to_this_machine_alone(ray) -> None:
    listening = [
        line.split()
        for name in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
        if line.split()[3] == "0A"  # TCP_LISTEN, include/net/tcp_states.h
    ]
    ours = _sockets_of(_family(ray))
    addresses = [fields[1].split(":")[0] for fields in listening if fields[9] in ours]
    assert len(addresses) >= 3  # Ray's servers are seen at all
    loopback = {
        "0100007F",  # 127.0.0.1, in the order of bytes that Linux prints
        "0000000000000000FFFF00000100007F",  # the same inside IPv6
        "00000000000000000000000001000000",  # ::1
    }
    assert set(addresses) <= loopback


@pytest.mark.parametrize("how", ["sigkill", "ctrl-c"])
def test_a_driver_that_ends_takes_ray_with_it(tmp_path: Path, marks: Path, how: str) -> None:
    driver = start(tmp_path / "run", Toy(marks, {2: "once:sleep"}), ["ray", 2, 1], 3)
    actor = marked(marks / "before-2")
    if how == "sigkill":
        driver.kill()
    else:
        os.killpg(driver.pid, signal.SIGINT)
    driver.communicate(timeout=60)
    until(lambda: gone(actor), seconds=15)
    driver = start(tmp_path / "run", Toy(marks, {2: "once:sleep", 4: "print"}), ["ray", 2, 1], 3)
    stdout, _ = driver.communicate()
    assert json.loads(stdout) == {"rows": 6}
    run(tmp_path / "local", Toy(marks), InProcess(1), 3)
    assert shard_files(tmp_path / "run") == shard_files(tmp_path / "local")


def _family(ray) -> set[int]:
    """This process and all that descend from it."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it ended meanwhile
    family = {os.getpid()}
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    return family


def _sockets_of(processes: set[int]) -> set[str]:
    found = set()
    for process in processes:
        for file in Path(f"/proc/{process}/fd").glob("*"):
            try:
                target = os.readlink(file)
            except OSError:
                continue
            if target.startswith("socket:["):
                found.add(target[8:-1])
    return found
