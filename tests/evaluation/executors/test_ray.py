"""Ray on this machine: equal results, deaths of actors, no answer to strangers."""

import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bandlimiter.errors import ConfigurationError
from bandlimiter.evaluation.executors import InProcess, RayCluster, run_shards
from bandlimiter.results.runs import RunStore
from tests.evaluation.executors.driving import (
    descendants,
    gone,
    killing,
    marked,
    run,
    shard_contents,
    start,
    until,
)
from tests.evaluation.executors.toy import Toy, plan

pytestmark = [
    pytest.mark.endurance,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra ray"),
]
TWO = RayCluster(2, 1)


def test_actors_killed_before_during_and_after_their_work_cost_nothing(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    toy = Toy(marks, {0: "once:sleep"}, after={3: "once:sleep"}, building="once:sleep")
    # While it builds; at work; when it has computed and not yet answered.
    with killing(marks / "building", marks / "before-0", marks / "after-3"):
        run(tmp_path / "run", toy, TWO, 4)
    run(tmp_path / "undisturbed", Toy(marks), InProcess(1), 4)
    assert shard_contents(tmp_path / "run") == shard_contents(tmp_path / "undisturbed")


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


def test_a_worker_that_cannot_start_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        run(None, Toy(tmp_path, building="configuration"), RayCluster(1, 1), 2)
    assert str(caught.value) == "expected sense, got none"


def test_what_no_machine_can_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"1 CPUs and 99 GPUs for each .* has: CPU 1, GPU"):
        run(None, Toy(tmp_path), RayCluster(1, 1, num_gpus=99.0), 1)


_STRANGER = """
import sys, ray
try:
    ray.init(address=sys.argv[1], log_to_driver=False)
except Exception as error:
    print("refused:", type(error).__name__, " ".join(str(error).split())[:300])
else:
    print("let in")
"""


def test_who_has_no_token_is_not_answered(tmp_path: Path) -> None:
    """Ray listens to the network, also where it is started for one machine."""
    import ray

    asked: list[str] = []

    class Store(RunStore):
        def put(self, shard, result):
            address = ray.get_runtime_context().gcs_address
            for token in (None, "0" * 64, os.environ["RAY_AUTH_TOKEN"]):
                environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_AUTH")}
                environment["HOME"] = str(tmp_path)
                if token:
                    environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
                done = subprocess.run(
                    [sys.executable, "-c", _STRANGER, address],
                    capture_output=True,
                    text=True,
                    env=environment,
                    check=False,
                )
                asked.append(done.stdout)
            super().put(shard, result)

    store = Store(None, {}, plan(1), settings={})
    run_shards(store, Toy(tmp_path), RayCluster(1, 1))
    assert len(store.rows()) == 2
    assert not asked[0].startswith("let in")
    assert not asked[1].startswith("let in")
    assert asked[2].startswith("let in")


def test_ctrl_c_ends_ray_in_good_order(tmp_path: Path) -> None:
    toy = Toy(tmp_path / "marks", {2: "once:sleep"})
    driver = start(tmp_path / "run", toy, ["ray", 1, 1, "local"], 3)
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
    assert shard_contents(tmp_path / "run") == shard_contents(tmp_path / "undisturbed")
