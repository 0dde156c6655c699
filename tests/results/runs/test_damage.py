"""Damage is found when a run is opened, named in a line, and costs no more than it must."""

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandlimiter.errors import ConfigurationError, LoadError
from bandlimiter.results import Row
from bandlimiter.results.runs import RunStore, Shard, ShardResult, StoredRun, recover
from tests.results.runs.material import IDENTITY, PLAN, SETTINGS, harvest_of, row

A, B, C = (shard.name for shard in PLAN)


def opened(folder: Path, **changes: object) -> RunStore:
    return RunStore(folder, IDENTITY | changes, PLAN, settings=SETTINGS)


def finish(folder: Path, **changes: object) -> None:
    """Do what is missing, as a command does."""
    with opened(folder, **changes) as store:
        for shard in store.missing():
            store.begin(shard)
            store.put(shard, harvest_of(shard))


def content(folder: Path) -> list[object]:
    run = StoredRun.open(folder)
    arrays = [path.read_bytes() for path in sorted((folder / "shards").iterdir())]
    return [run.state, run.rows(), [result.facts for result in run.results()], arrays]


def edit(run: Path, *statements: str) -> None:
    other = sqlite3.connect(run / "run.sqlite")
    with other:
        for statement in statements:
            other.execute(statement)
    other.close()


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run that nobody changes."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    finish(folder)
    return folder


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    """A finished run to be damaged."""
    return Path(shutil.copytree(whole, tmp_path / "run"))


def _arrays(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def damage(run: Path) -> None:
        path = run / "shards" / f"{B}.safetensors"
        path.write_bytes(change(path.read_bytes()))

    return damage


def _arrays_deleted(run: Path) -> None:
    (run / "shards" / f"{B}.safetensors").unlink()


def _arrays_of_another_with_their_sum(run: Path) -> None:
    """The database is made to agree, but cannot be without its own sum."""
    shutil.copy(run / "shards" / f"{A}.safetensors", run / "shards" / f"{B}.safetensors")
    edit(
        run,
        "UPDATE finished SET arrays = (SELECT arrays FROM finished WHERE shard = 0)"
        " WHERE shard = 1",
    )


def _everything_of_another(run: Path) -> None:
    """Rows, facts and sums: but sums are of a shard by its name."""
    columns = ("count", "facts", "arrays", "sum")
    fields = ", ".join(Row.model_fields)
    edit(
        run,
        "DELETE FROM rows WHERE shard = 1",
        f"INSERT INTO rows (id, {fields}) SELECT id + (1 << 32), {fields} FROM rows"  # noqa: S608
        " WHERE shard = 0",
        *(  # names of columns
            f"UPDATE finished SET {name} = (SELECT {name} FROM finished WHERE shard = 0)"  # noqa: S608
            " WHERE shard = 1"
            for name in columns
        ),
    )


def _of_another_run(run: Path) -> None:
    """The same shard of a run with another identity, sums and all."""
    other = run.parent / "other"
    finish(other, seed=1)
    shutil.copy(other / "shards" / f"{B}.safetensors", run / "shards")
    edit(
        run,
        f"ATTACH '{other / 'run.sqlite'}' AS other",
        "DELETE FROM finished WHERE shard = 1",
        "INSERT INTO finished SELECT * FROM other.finished WHERE shard = 1",
    )


def _edited(statement: str) -> Callable[[Path], None]:
    return lambda run: edit(run, statement)


DAMAGES = {
    "arrays cut": (_arrays(lambda data: data[:-7]), "bytes in"),
    "arrays longer": (_arrays(lambda data: data + b"\0"), "bytes in"),
    "arrays emptied": (_arrays(lambda data: b""), "bytes in"),
    "arrays edited": (_arrays(lambda data: data[:-1] + b"\1"), "it was changed"),
    "arrays deleted": (_arrays_deleted, "missing"),
    "arrays of another": (_arrays_of_another_with_their_sum, "it changed"),
    "another shard": (_everything_of_another, "it changed"),
    "another run": (_of_another_run, "it changed"),
    "a label": (_edited("UPDATE rows SET label = 4 WHERE shard = 1 AND place = 0"), "it changed"),
    "the last digit": (
        _edited("UPDATE rows SET linf = linf * 1.0000000000000003 WHERE shard = 1"),
        "it changed",
    ),
    "a row lost": (_edited("DELETE FROM rows WHERE shard = 1 AND place = 1"), "it changed"),
    "rows swapped": (
        _edited("UPDATE rows SET id = id + 7 WHERE shard = 1 AND place = 0"),
        "it changed",
    ),
    "facts": (_edited("UPDATE finished SET facts = '{}' WHERE shard = 1"), "it changed"),
    "no JSON": (_edited("UPDATE finished SET facts = '{' WHERE shard = 1"), "it changed"),
    "a type": (_edited("UPDATE rows SET image = 'cat' WHERE shard = 1"), "it changed"),
    "a sum": (_edited("UPDATE finished SET sum = 'x' WHERE shard = 1"), "it changed"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_found_and_done_again(name: str, run: Path, whole: Path) -> None:
    damage, said = DAMAGES[name]
    damage(run)
    readers = StoredRun.open(run)
    kept = [row for shard in (PLAN[0], PLAN[2]) for row in harvest_of(shard).rows]
    assert readers.rows() == kept
    assert (readers.state, readers.damaged) == ("unfinished", 1)
    with opened(run) as store:
        assert list(store.redone) == [B]
        assert said in store.redone[B]
        assert "\n" not in store.redone[B]
        assert [shard.name for shard in store.missing()] == [B]
        assert store.rows() == kept
    finish(run)
    with opened(run) as store:
        assert not store.redone
        assert not store.missing()
    assert content(run) == content(whole)


@pytest.mark.parametrize("name", ["run.sqlite", "lock", f"shards/{B}.safetensors"])
def test_a_folder_where_a_file_was_is_named(name: str, run: Path) -> None:
    """What cannot be replaced is not deleted: somebody put it there. Nor is work done in vain."""
    (run / name).unlink()
    (run / name).mkdir()
    with pytest.raises(ConfigurationError, match=f"expected a file of the run, .*{name} is a"):
        opened(run)
    (run / name).rmdir()
    if name != "run.sqlite":
        finish(run)
        assert StoredRun.open(run).state == "done"


def test_a_file_where_the_folder_of_shards_was_is_named(run: Path) -> None:
    shutil.rmtree(run / "shards")
    (run / "shards").write_bytes(b"")
    with pytest.raises(ConfigurationError, match="a folder of the run, .*shards is a file"):
        opened(run)


def test_timings_that_are_no_json_are_left_out(run: Path) -> None:
    """They have no sum: seconds are nobody's result."""
    edit(run, "UPDATE timings SET timing = '{' WHERE shard = 1")
    assert [each["shard"] for each in StoredRun.open(run).timings()] == [A, C]


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Shard]]:
    """A finished run of forty shards and twenty pages and more, that nobody changes."""
    folder = tmp_path_factory.mktemp("large") / "run"
    plan = [Shard(f"s{i:02}", "fgsm", tuple(range(25 * i, 25 * i + 25))) for i in range(40)]
    with RunStore(folder, IDENTITY, plan, settings=SETTINGS) as store:
        for shard in plan:
            rows = [row(image) for image in shard.images]
            store.put(shard, ShardResult(rows, timings=[{"seconds": 1.0}]))
    return folder, plan


def returned(folder: Path) -> int:
    """Recover a run; check that what is there is right, and return how many shards are.

    Again it does no harm.
    """
    count, lost = recover(folder)
    run = StoredRun.open(folder)
    assert run.finished == count
    assert run.rows() == [row(image) for shard in run.shards for image in shard.images]
    assert all("\n" not in reason for reason in lost.values())
    before = (folder / "run.sqlite").read_bytes()
    assert recover(folder) == (count, {name: lost[name] for name in lost if run.damaged})
    assert (folder / "run.sqlite").read_bytes() == before
    return count


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.data())
def test_any_changed_byte_is_found_and_recovery_gives_the_rest_back(
    large: tuple[Path, list[Shard]], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """A byte of rows costs their shard; one that says where rows lie, those of its page."""
    folder, _ = large
    run = tmp_path_factory.mktemp("byte") / "run"
    shutil.copytree(folder, run)
    whole = bytearray((run / "run.sqlite").read_bytes())
    where = data.draw(st.integers(0, len(whole) - 1))
    whole[where] ^= 1 << data.draw(st.integers(0, 7))
    (run / "run.sqlite").write_bytes(whole)
    expected = StoredRun.open(folder)
    try:
        found = StoredRun.open(run)
        assert found.rows() == [row(i) for shard in found.shards for i in shard.images]
        assert found.settings == SETTINGS
    except LoadError as error:
        assert "\n" not in str(error)  # noqa: PT017 - either outcome is right
    assert returned(run) >= expected.finished - 12  # a page that says where others are: 11
    shutil.rmtree(run)


@pytest.mark.parametrize("share", [0.5, 0.75, 0.9])
def test_a_truncated_database_is_named_and_what_is_left_comes_back(
    share: float, large: tuple[Path, list[Shard]], tmp_path: Path
) -> None:
    folder, plan = large
    run = tmp_path / "run"
    shutil.copytree(folder, run)
    data = (run / "run.sqlite").read_bytes()
    (run / "run.sqlite").write_bytes(data[: int(share * len(data))])
    for open_it in (
        StoredRun.open,
        lambda run: RunStore(run, IDENTITY, plan, settings=SETTINGS),
    ):
        with pytest.raises(
            LoadError, match="damaged .*runs recover .* returns every shard"
        ) as said:
            open_it(run)
        assert "\n" not in str(said.value)
    count = returned(run)
    # Rows lie in the order of shards, on the last 31 pages; a page cut in two is lost with two.
    assert count >= 40 * (1 - (1 - share) * len(data) / 4096 / 31) - 2
    assert (run / "run.sqlite.damaged").read_bytes() == data[: int(share * len(data))]
    with RunStore(run, IDENTITY, plan, settings=SETTINGS) as store:
        assert len(store.missing()) == 40 - count


def test_an_edited_byte_of_rows_costs_one_shard(
    large: tuple[Path, list[Shard]], tmp_path: Path
) -> None:
    """In the database: without any recovery, the other shards count, and the run goes on."""
    folder, plan = large
    run = tmp_path / "run"
    shutil.copytree(folder, run)
    data = (run / "run.sqlite").read_bytes()
    place = data.rindex(b"minimal")  # in some row
    (run / "run.sqlite").write_bytes(data[:place] + b"M" + data[place + 1 :])
    assert StoredRun.open(run).damaged == 1
    with RunStore(run, IDENTITY, plan, settings=SETTINGS) as store:
        assert len(store.missing()) == 1
