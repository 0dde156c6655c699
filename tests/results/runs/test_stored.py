"""What readers see of a run, without touching it."""

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from bandlimiter.errors import ConfigurationError, LoadError
from bandlimiter.results.runs import RunStore, Shard, ShardResult, StoredRun, find_runs
from tests.results.runs.material import IDENTITY, PLAN, SETTINGS, harvest_of, row


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Two of three shards, put in the other order."""
    with RunStore(tmp_path / "run", IDENTITY, PLAN, settings=SETTINGS) as store:
        for shard in (PLAN[2], PLAN[0]):
            store.put(shard, harvest_of(shard))
        store.write_document("result.json", {"accuracy": 0.5})
    return tmp_path / "run"


def test_a_run_is_described(run: Path) -> None:
    stored = StoredRun.open(run)
    assert (stored.name, stored.kind, stored.state) == ("run", "attacks", "unfinished")
    assert (stored.finished, stored.planned, stored.damaged) == (2, 3, 0)
    assert stored.identity == IDENTITY
    assert stored.settings == SETTINGS
    assert stored.documents == {"result.json": {"accuracy": 0.5}}
    assert stored.shards == [PLAN[0], PLAN[2]]


def test_rows_and_harvests_come_in_the_order_of_the_plan(run: Path) -> None:
    stored = StoredRun.open(run)
    expected = [harvest_of(PLAN[0]), harvest_of(PLAN[2])]
    assert stored.rows() == [row for result in expected for row in result.rows]
    for found, result in zip(stored.results(), expected, strict=True):
        assert found.rows == result.rows
        assert found.facts == result.facts
        assert np.array_equal(found.arrays["images"], result.arrays["images"])
        assert found.timings == result.timings
    assert [each.image for each in stored.failed] == [1, 5]
    assert stored.timings() == [
        {"images": 2, "seconds": 0.25, "shard": shard.name} for shard in stored.shards
    ]


def test_reading_changes_nothing(run: Path) -> None:
    (run / "shards" / ".x.tmp").touch()

    def state() -> dict[Path, tuple[int, bytes]]:
        return {
            path: (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
            for path in run.rglob("*")
        }

    before = state()
    stored = StoredRun.open(run)
    stored.rows()
    list(stored.results())
    assert find_runs(run) == [run]
    assert state() == before


def test_a_finished_run_is_done(run: Path) -> None:
    with RunStore(run, IDENTITY, PLAN, settings=SETTINGS) as store:
        store.put(PLAN[1], harvest_of(PLAN[1]))
        assert StoredRun.open(run).state == "in use"
    assert StoredRun.open(run).state == "done"


def test_a_name_is_the_folder_s_even_for_a_dot(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run)
    assert StoredRun.open(Path()).name == "run"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("notes.txt", b"", "found none"),
        ("run.json", b"{}", r"former kind \(run.json\); bandlimiter 0.1 reads it"),
        ("rows.jsonl", b"{}", r"former kind \(rows.jsonl\); bandlimiter 0.1 reads it"),
        ("run.sqlite", b"", r"damaged \(it holds no run\)"),
        ("run.sqlite", b"[" * 100_000, "damaged"),
        ("run.sqlite", b"SQLite format 3\0" + bytes(100_000), "damaged"),
    ],
)
def test_what_is_no_run_is_refused(name: str, content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(LoadError, match=said) as refused:
        StoredRun.open(tmp_path)
    assert "\n" not in str(refused.value)
    with pytest.raises((LoadError, ConfigurationError)) as refused:
        RunStore(tmp_path, IDENTITY, PLAN, settings=SETTINGS)
    assert "\n" not in str(refused.value)
    assert (tmp_path / name).read_bytes() == content


def test_a_description_changed_by_hand_is_refused(run: Path) -> None:
    """An identity that does not belong to the rows would name them wrongly; so would a plan."""
    with sqlite3.connect(run / "run.sqlite") as other:
        for table in ("run", "run_copy"):
            other.execute(
                f"UPDATE {table} SET description = replace(description, '3f9a', '77aa')"  # noqa: S608
            )
    other.close()
    for open_it in (StoredRun.open, lambda run: RunStore(run, IDENTITY, PLAN, settings=SETTINGS)):
        with pytest.raises(LoadError, match="what the run is was changed") as refused:
            open_it(run)
        assert "\n" not in str(refused.value)


def test_one_of_two_descriptions_is_enough(run: Path) -> None:
    with sqlite3.connect(run / "run.sqlite") as other:
        other.execute("UPDATE run SET settings = '{}'")
    other.close()
    assert StoredRun.open(run).settings == SETTINGS


def test_ten_thousand_rows(tmp_path: Path) -> None:
    """All come back, in order, whatever order they were put in."""
    plan = [Shard(f"s{i}", "fgsm", tuple(range(250 * i, 250 * i + 250))) for i in range(40)]
    with RunStore(tmp_path / "run", {}, plan, settings={}) as store:
        for shard in reversed(plan):
            store.put(shard, ShardResult(rows=[row(image) for image in shard.images]))
    assert [each.image for each in StoredRun.open(tmp_path / "run").rows()] == list(range(10_000))
