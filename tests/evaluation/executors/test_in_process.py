"""The driver does the work itself; what killed it once is done beside it."""

import signal
from pathlib import Path

import pytest
import torch

from bandlimiter.errors import ConfigurationError
from bandlimiter.evaluation.executors import InProcess, run_shards
from bandlimiter.results import Row, Status
from bandlimiter.results.runs import RunStore
from tests.evaluation.executors import driving
from tests.evaluation.executors.driving import run
from tests.evaluation.executors.toy import Toy, plan


def undisturbed(marks: Path, shards: int) -> list[Row]:
    return run(None, Toy(marks / "undisturbed"), InProcess(1), shards).rows()


@pytest.mark.parametrize(
    ("order", "error"),
    [
        ("raise", "ValueError: bad image"),
        ("unpicklable", "OddError: odd"),
        ("leave", "SystemExit: 3"),
    ],
)
def test_an_exception_on_one_image_is_one_failed_row(
    tmp_path: Path, order: str, error: str
) -> None:
    rows = run(None, Toy(tmp_path, {2: order}), InProcess(1), 3).rows()
    assert [row.error for row in rows] == [None, None, error, None, None, None]
    assert rows[2].status is Status.FAILED
    others = [row for row in undisturbed(tmp_path, 3) if row.image != 2]
    assert [row for row in rows if row.image != 2] == others


@pytest.mark.parametrize(
    ("order", "kind"), [("configuration", ConfigurationError), ("memory", MemoryError)]
)
def test_what_concerns_the_run_ends_it_and_blames_no_shard(
    tmp_path: Path, order: str, kind: type[Exception]
) -> None:
    toy = Toy(tmp_path, {2: f"once:{order}"})
    with pytest.raises(kind):
        run(tmp_path / "run", toy, InProcess(1), 2)
    store = run(tmp_path / "run", toy, InProcess(1), 2)
    assert store.rows() == undisturbed(tmp_path, 2)
    # A shard that is blamed is done in a child, which would have started a worker of its own.
    assert len(list(tmp_path.glob("built-*"))) == 1


def test_threads_are_set_for_the_work_alone(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    store = run(None, Toy(tmp_path), InProcess(before + 1), 1)
    assert store.facts(plan(1)[0]) == {"threads": before + 1}
    assert torch.get_num_threads() == before


def test_a_full_disk_ends_the_run_with_its_own_error(tmp_path: Path) -> None:
    class Full(RunStore):
        def put(self, shard, result):
            raise OSError("no space left")

        def release(self, shard):
            raise OSError("nor for this")

    store = Full(None, {}, plan(1), settings={})
    with pytest.raises(OSError, match="no space left"):
        run_shards(store, Toy(tmp_path), InProcess(1))


def test_models_that_cannot_be_sent_are_tried_here_and_then_set_aside(tmp_path: Path) -> None:
    toy = Toy(tmp_path, orders={9: lambda: None})  # no pickle holds a lambda
    store = RunStore(None, {}, plan(3), settings={})
    for shard, starts in zip(plan(3), (0, 1, 2), strict=True):
        for _ in range(starts):
            store.begin(shard)
    run_shards(store, toy, InProcess(1))
    errors = [row.error for row in store.rows()]
    assert errors[:4] == [None] * 4
    assert errors[4:] == ["the run ended 2 times on images of its shard"] * 2


@pytest.mark.slow
def test_poison_kills_the_driver_once_and_is_then_set_aside_in_a_child(tmp_path: Path) -> None:
    toy = Toy(tmp_path / "marks", {3: "kill"})
    driver = driving.start(tmp_path / "run", toy, ["local", 1, 1], 3)
    driver.communicate()
    assert driver.returncode == -signal.SIGKILL
    rows = run(tmp_path / "run", toy, InProcess(1), 3).rows()  # this very process must live
    others = [row for row in undisturbed(tmp_path, 3) if row.image != 3]
    assert [row for row in rows if row.image != 3] == others
    assert [row.error for row in rows if row.error] == ["its process was ended by SIGKILL"]


@pytest.mark.slow
def test_a_device_that_stopped_answering_is_left_to_another_process(tmp_path: Path) -> None:
    store = run(None, Toy(tmp_path, {0: "once:accelerator"}), InProcess(1), 2)
    assert store.rows() == undisturbed(tmp_path, 2)
    assert len(list(tmp_path.glob("built-*"))) == 2  # here, and in the one that took over
