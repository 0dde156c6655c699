"""Damaged files are found when a run is opened, done again, and never averaged in."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandlimiter.errors import ConfigurationError, LoadError
from bandlimiter.results.runs import RunStore, StoredRun
from tests.results.runs.material import IDENTITY, PLAN, SETTINGS, harvest_of

A, B, C = (shard.name for shard in PLAN)


def opened(folder: Path, **changes: object) -> RunStore:
    return RunStore(folder, IDENTITY | changes, PLAN, settings=SETTINGS)


def finish(folder: Path, **changes: object) -> None:
    """Do what is missing, as a command does."""
    with opened(folder, **changes) as store:
        for shard in store.missing():
            store.begin(shard)
            store.put(shard, harvest_of(shard))


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "shards").iterdir()}


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


def _cut(run: Path) -> None:
    path = run / "shards" / f"{B}.parquet"
    path.write_bytes(path.read_bytes()[:-7])


def _longer(run: Path) -> None:
    with (run / "shards" / f"{B}.parquet").open("ab") as file:
        file.write(b"\0")


def _emptied(run: Path) -> None:
    (run / "shards" / f"{B}.safetensors").write_bytes(b"")


def _deleted(run: Path) -> None:
    (run / "shards" / f"{B}.parquet").unlink()


def _arrays_deleted(run: Path) -> None:
    (run / "shards" / f"{B}.safetensors").unlink()


def _copied_over(run: Path) -> None:
    shutil.copy(run / "shards" / f"{A}.parquet", run / "shards" / f"{B}.parquet")


def _copied_with_its_sums(run: Path) -> None:
    """The manifest is made to agree: only the file itself says whose it is."""
    for kind in ("parquet", "safetensors"):
        shutil.copy(run / "shards" / f"{A}.{kind}", run / "shards" / f"{B}.{kind}")
    lines = [json.loads(line) for line in (run / "manifest.jsonl").read_text().splitlines()]
    lines[1] = {**lines[0], "shard": B}
    (run / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def _arrays_of_another_with_sums(run: Path) -> None:
    shutil.copy(run / "shards" / f"{A}.safetensors", run / "shards" / f"{B}.safetensors")
    lines = [json.loads(line) for line in (run / "manifest.jsonl").read_text().splitlines()]
    lines[1]["arrays"] = lines[0]["arrays"]
    (run / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def _edit_line(change: Callable[[dict[str, object]], object]) -> Callable[[Path], None]:
    def damage(run: Path) -> None:
        lines = [json.loads(line) for line in (run / "manifest.jsonl").read_text().splitlines()]
        change(lines[1])
        (run / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    return damage


def _line_lost(run: Path) -> None:
    lines = (run / "manifest.jsonl").read_text().splitlines(keepends=True)
    (run / "manifest.jsonl").write_text(lines[0] + lines[2])


def _line_is_noise(run: Path) -> None:
    lines = (run / "manifest.jsonl").read_text().splitlines(keepends=True)
    (run / "manifest.jsonl").write_text(lines[0] + "\x00\xff{" + lines[1] + lines[2])


def _rows_of_another_run(run: Path) -> None:
    """The same shard of a run with another identity, sums and all."""
    other = run.parent / "other"
    finish(other, seed=1)
    shutil.copy(other / "shards" / f"{B}.parquet", run / "shards" / f"{B}.parquet")
    lines = [json.loads(line) for line in (run / "manifest.jsonl").read_text().splitlines()]
    theirs = [json.loads(line) for line in (other / "manifest.jsonl").read_text().splitlines()]
    lines[1]["rows"] = theirs[1]["rows"]
    (run / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


DAMAGES = {
    _cut: "bytes in",
    _longer: "bytes in",
    _emptied: "bytes in",
    _deleted: "missing",
    _arrays_deleted: "missing",
    _copied_over: "it was changed",
    _copied_with_its_sums: f"of shard {B}, got one of {A}",
    _arrays_of_another_with_sums: f"of shard {B}, got one of {A}",
    _rows_of_another_run: "a file of run",
    _edit_line(lambda line: line.update(count=1)): "expected 1 rows, got 2",
    _edit_line(lambda line: line["rows"].update(sha256="0" * 64)): "it was changed",
    _edit_line(lambda line: line["arrays"].update(size=1)): "bytes in",
    _edit_line(lambda line: line.update(shard="../../x")): "not in the manifest",
    _edit_line(lambda line: line.update(shard=A)): "it was changed",  # and B has no line
    _edit_line(lambda line: line.update(mood="good")): "not in the manifest",
    _line_lost: "not in the manifest",
    _line_is_noise: "not in the manifest",
}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damage_is_found_and_done_again(
    damage: Callable[[Path], None], run: Path, whole: Path
) -> None:
    damage(run)
    readers = StoredRun.open(run)
    kept = [row for shard in readers.shards for row in harvest_of(shard).rows]
    assert readers.rows() == kept
    assert readers.state == "unfinished"
    assert B not in [shard.name for shard in readers.shards]
    with opened(run) as store:
        assert B in store.redone
        assert any(DAMAGES[damage] in reason for reason in store.redone.values())
        assert all("\n" not in reason for reason in store.redone.values())
        assert [shard.name for shard in store.missing()] == list(store.redone)
        assert store.rows() == kept
    finish(run)
    with opened(run) as store:
        assert not store.redone
        assert not store.missing()
    assert content(run) == content(whole)
    assert sorted((run / "manifest.jsonl").read_text().splitlines()) == sorted(
        (whole / "manifest.jsonl").read_text().splitlines()
    )


@pytest.mark.parametrize("name", [f"shards/{B}.parquet", "run.json", "lock", "attempts.jsonl"])
def test_a_folder_where_a_file_was_is_named(name: str, run: Path) -> None:
    """What cannot be replaced is not deleted: somebody put it there. Nor is work done in vain."""
    (run / name).unlink()
    (run / name).mkdir()
    with pytest.raises(
        ConfigurationError, match=f"expected a file of the run, .*{name} is a folder"
    ):
        opened(run)
    (run / name).rmdir()
    if name != "run.json":
        finish(run)
        assert StoredRun.open(run).state == "done"


def test_a_file_where_the_folder_of_shards_was_is_named(run: Path) -> None:
    shutil.rmtree(run / "shards")
    (run / "shards").write_bytes(b"")
    with pytest.raises(
        ConfigurationError, match="expected a folder of the run, .*shards is a file"
    ):
        opened(run)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_flipped_bit_is_found(whole: Path, data: st.DataObject) -> None:
    """In any shard file, at any place."""
    paths = sorted((whole / "shards").iterdir())
    path = data.draw(st.sampled_from(paths))
    before = path.read_bytes()
    where = data.draw(st.integers(0, len(before) - 1))
    bit = data.draw(st.integers(0, 7))
    changed = bytearray(before)
    changed[where] ^= 1 << bit
    try:
        path.write_bytes(changed)
        run = StoredRun.open(whole)
        assert run.damaged == 1
        assert path.stem not in [shard.name for shard in run.shards]
    finally:
        path.write_bytes(before)


@pytest.mark.parametrize("keep", [0, 1, 20, -2, -1])
def test_a_torn_last_line_is_dropped(keep: int, run: Path, whole: Path) -> None:
    """Also one that is whole but for its end: whether it was durable nobody knows."""
    lines = (run / "manifest.jsonl").read_bytes().splitlines(keepends=True)
    (run / "manifest.jsonl").write_bytes(b"".join(lines[:2]) + lines[2][:keep])
    assert StoredRun.open(run).finished == 2
    with opened(run) as store:
        assert list(store.redone) == [C]
        assert store.rows() == [row for shard in PLAN[:2] for row in harvest_of(shard).rows]
    assert (run / "manifest.jsonl").read_bytes() == b"".join(lines[:2])
    finish(run)
    assert (run / "manifest.jsonl").read_bytes() == (whole / "manifest.jsonl").read_bytes()


def test_a_lost_manifest_costs_the_work_and_nothing_else(run: Path, whole: Path) -> None:
    (run / "manifest.jsonl").unlink()
    assert StoredRun.open(run).rows() == []
    finish(run)
    assert content(run) == content(whole)


def test_a_line_that_is_there_twice_counts_once(run: Path) -> None:
    lines = (run / "manifest.jsonl").read_text()
    (run / "manifest.jsonl").write_text(lines + lines.splitlines(keepends=True)[0])
    expected = [row for shard in PLAN for row in harvest_of(shard).rows]
    assert StoredRun.open(run).rows() == expected
    with opened(run) as store:
        assert store.rows() == expected
        assert not store.redone
    assert len((run / "manifest.jsonl").read_text().splitlines()) == len(PLAN)


def test_timings_are_those_of_finished_shards_once(run: Path, whole: Path) -> None:
    with (run / "timings.jsonl").open("a") as file:
        file.write(json.dumps({"shard": A, "timings": [{"images": 2, "seconds": 0.5}]}) + "\n")
        file.write(json.dumps({"shard": "../../x", "timings": []}) + '\n["noise"]\n{"shard": "')
    with opened(run) as store:
        assert [each["seconds"] for each in store.result(PLAN[0]).timings] == [0.5]
    assert len((run / "timings.jsonl").read_text().splitlines()) == len(PLAN)
    assert [each["shard"] for each in StoredRun.open(run).timings()] == [A, B, C]


def test_damage_while_the_run_is_open_is_refused_when_read(run: Path) -> None:
    readers = StoredRun.open(run)
    with opened(run) as store:
        _cut(run)
        for read in (store.rows, lambda: store.result(PLAN[1]), readers.rows):
            with pytest.raises(LoadError, match="bytes in"):
                read()
        assert store.result(PLAN[0]).rows == harvest_of(PLAN[0]).rows


def test_sums_are_what_sha256sum_says(whole: Path) -> None:
    """The manifest can be checked without this package: sums by hashlib, sizes by the system."""
    import hashlib

    for line in (whole / "manifest.jsonl").read_text().splitlines():
        entry = json.loads(line)
        for key, kind in (("rows", "parquet"), ("arrays", "safetensors")):
            path = whole / "shards" / f"{entry['shard']}.{kind}"
            assert entry[key] == {
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                "size": path.stat().st_size,
            }
