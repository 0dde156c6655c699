"""SIGKILL and power cuts at every system call at which a run's files change."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from bandlimiter.results.runs import RunStore, StoredRun
from tests.results.runs.material import IDENTITY, PLAN, SETTINGS, harvest_of
from tests.results.runs.processes import ROOT
from tests.results.runs.system_calls import WorstDisk, recorded, require_watched_process

_RECORD = """
import sys
from pathlib import Path
from tests.results.runs.killed import PLAN, harvest_of, opened
from tests.results.runs.system_calls import watch

base = Path(sys.argv[1])
watch(base, Path(sys.argv[2]))
with opened(base / "run") as store:
    store.begin(PLAN[2])
    for shard in PLAN[:2]:
        store.put(shard, harvest_of(shard))
        (base / shard.name).mkdir()  # a mark in the record: this put had returned
    store.write_document("result.json", {"rows": 4})
"""


@pytest.mark.endurance
def test_a_run_killed_anywhere_goes_on_as_if_nothing_had_been(tmp_path: Path) -> None:
    environment = require_watched_process(tmp_path)
    # In memory where there is such a folder: what SIGKILL does is the same, and fsync is free.
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - a folder in it
    with tempfile.TemporaryDirectory(dir=memory) as base:
        done = subprocess.run(
            [sys.executable, "-m", "tests.results.runs.killed", base],
            capture_output=True,
            text=True,
            cwd=ROOT,
            check=False,
            env=environment,
        )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["wrong"] == 0, done.stdout
    assert found["tried"] > 300
    assert all(found["calls"].values()), "SQLite's own calls were not seen"


def test_what_was_put_survives_a_power_cut_at_any_time(tmp_path: Path) -> None:
    """Nothing stays on this disk that was not synced."""
    environment = require_watched_process(tmp_path)
    base, log = tmp_path / "base", tmp_path / "log"
    base.mkdir()
    command = [sys.executable, "-c", _RECORD, str(base), str(log)]
    subprocess.run(command, cwd=ROOT, check=True, env=environment)
    disk, put, cuts = WorstDisk(), set[str](), 0
    for call in recorded(log):
        disk.apply(call)
        if call.path.parent == base and call.path.name != "run":
            put.add(call.path.name)
        elif call.name != "sync":  # what is left has not changed
            continue
        target = tmp_path / f"cut{cuts}"
        disk.write(base, target)
        cuts += 1
        with RunStore(target / "run", IDENTITY, PLAN, settings=SETTINGS) as store:
            there = [shard for shard in PLAN if shard not in store.missing()]
            assert put <= {shard.name for shard in there}, target
            assert not store.redone
            assert store.rows() == [row for shard in there for row in harvest_of(shard).rows]
            if put:
                assert store.attempts(PLAN[2]) == 1  # its start was durable, too
    assert put == {shard.name for shard in PLAN[:2]}
    assert cuts > 25
    assert StoredRun.open(target / "run").documents == {"result.json": {"rows": 4}}
    assert (target / "run" / "result.json").read_text() == '{\n  "rows": 4\n}\n'


@pytest.mark.endurance
def test_a_run_killed_in_a_commit_is_read_where_nothing_can_be_written(tmp_path: Path) -> None:
    """Its half-written pages are taken back in a temporary copy."""
    environment = require_watched_process(tmp_path)
    code = (
        "import sys; from pathlib import Path\n"
        "from tests.results.runs.killed import killed_work, opened, PLAN, harvest_of\n"
        "from tests.results.runs.system_calls import recorded\n"
        "base, number = Path(sys.argv[1]), int(sys.argv[2])\n"
        "killed_work(base / 'run', number, half=False)\n"
    )
    for number in range(20, 200):
        base = tmp_path / str(number)
        base.mkdir()
        subprocess.run(
            [sys.executable, "-c", code, str(base), str(number)],
            cwd=ROOT,
            check=True,
            env=environment,
        )
        run = base / "run"
        if (run / "run.sqlite-journal").exists():
            break
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    stored = StoredRun.open(run)
    assert stored.rows() == [
        row for shard in PLAN[: len(stored.shards)] for row in harvest_of(shard).rows
    ]
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
