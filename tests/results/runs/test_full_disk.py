"""No room left: one clear line, nothing lost, and on it goes when there is room."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bandlimiter.results.runs import RunStore, Shard, ShardResult, StoredRun
from tests.results.runs.material import row
from tests.results.runs.processes import python
from tests.small_disks import Room, small_disk

PLAN = [Shard(f"s{i}", "pgd", (i,)) for i in range(4)]


def opened(folder: Path) -> RunStore:
    return RunStore(folder, {"seed": 0}, PLAN, settings={})


def large(shard: Shard, size: int = 100_000) -> ShardResult:
    noise = np.random.default_rng(shard.images[0])
    return ShardResult(
        rows=[row(shard.images[0])],
        arrays={"images": noise.integers(0, 256, size, np.uint8)},
        timings=[{"seconds": 1.0}],
    )


def finish(store: RunStore) -> None:
    for shard in store.missing():
        store.put(shard, large(shard))


def whole(folder: Path) -> tuple[list[bytes], list[object], list[object]]:
    run = StoredRun.open(folder)
    arrays = [path.read_bytes() for path in sorted((folder / "shards").iterdir())]
    return arrays, run.rows(), run.timings()


def is_clear(error: OSError) -> None:
    said = str(error)
    assert "\n" not in said
    assert "finished shards are kept" in said
    assert str(error.filename) in said


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with small_disk(tmp_path / "small", megabytes=4) as room:
        yield room


@pytest.mark.endurance
@pytest.mark.parametrize("leave", [0, 4096, 8192, 40960, 110_592])
def test_a_full_disk(leave: int, room: Room, tmp_path: Path) -> None:
    """However far it gets: to no file, the rows, half of the arrays, or a shard more."""
    run = room.folder / "run"
    with opened(run) as store:
        store.put(PLAN[0], large(PLAN[0]))
        room.fill(leave)
        with pytest.raises(OSError, match="No space left on device") as full:
            finish(store)
        is_clear(full.value)
        rows = [row for shard in PLAN if shard not in store.missing() for row in large(shard).rows]
        assert not list(run.rglob("*.tmp"))
        assert store.rows() == rows
        with pytest.raises(OSError, match="finished shards are kept"):
            store.write_document("result.json", {"text": "x" * 200_000})
        assert StoredRun.open(run).rows() == rows
        room.free()
        shard = store.missing()[0]
        store.put(shard, large(shard))  # the same store goes on
    with opened(run) as store:
        assert not store.redone
        finish(store)
    with opened(tmp_path / "roomy") as store:
        finish(store)
    assert whole(run) == whole(tmp_path / "roomy")


@pytest.mark.endurance
def test_a_run_that_cannot_even_be_opened_says_so(room: Room) -> None:
    opened(room.folder / "run").close()
    room.fill(0)
    for name in ("run", "new"):
        with pytest.raises((OSError, ValueError), match="No space left on device") as full:
            opened(room.folder / name)
        assert "\n" not in str(full.value)
    room.free()
    opened(room.folder / "run").close()
    opened(room.folder / "new").close()


_LIMITED = """
import resource, sys
from pathlib import Path
from tests.results.runs.test_full_disk import PLAN, is_clear, large, opened

with opened(Path(sys.argv[1])) as store:
    store.put(PLAN[0], large(PLAN[0]))
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, most))
    try:
        store.put(PLAN[1], large(PLAN[1]))
    except OSError as error:
        is_clear(error)
        print(error)
    assert store.missing() == PLAN[1:]
    store.put(PLAN[2], large(PLAN[2], size=100))  # small enough
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    store.put(PLAN[1], large(PLAN[1]))
"""


def test_a_limit_on_file_sizes(tmp_path: Path) -> None:
    """Where nothing can be mounted: a write that comes back short, and then fails."""
    done = python(_LIMITED, tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert "File too large" in done.stdout
    assert len(done.stdout.splitlines()) == 1
    run = StoredRun.open(tmp_path / "run")
    assert [shard.name for shard in run.shards] == ["s0", "s1", "s2"]
    assert run.damaged == 0
    assert not list((tmp_path / "run").rglob("*.tmp"))
