"""Which folders a run may lie in, and where runs are found."""

import os
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest

from bandlimiter.errors import ConfigurationError
from bandlimiter.results.runs import RunStore, StoredRun, find_runs
from tests.results.runs.material import IDENTITY, PLAN, SETTINGS, harvest_of
from tests.results.runs.processes import python


def opened(folder: Path) -> RunStore:
    return RunStore(folder, IDENTITY, PLAN, settings=SETTINGS)


def refusal(folder: Path) -> str:
    with pytest.raises(ConfigurationError) as refused:
        opened(folder)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_folders_are_made(tmp_path: Path) -> None:
    opened(tmp_path / "a" / "b" / "run").close()
    (tmp_path / "empty").mkdir()
    opened(tmp_path / "empty").close()


def test_other_files_are_not_written_among(tmp_path: Path) -> None:
    (tmp_path / "photo.png").touch()
    assert "holds 'photo.png' but no run" in refusal(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["photo.png"]
    assert "is a file" in refusal(tmp_path / "photo.png")
    assert "cannot be used" in refusal(tmp_path / "photo.png" / "run")


def test_a_run_of_the_former_kind_is_not_written_among(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}\n")
    assert "former kind (run.json); bandlimiter 0.1 reads it" in refusal(tmp_path)


def test_other_files_in_a_run_are_left_alone(tmp_path: Path) -> None:
    opened(tmp_path / "run").close()
    for name in ("report.html", "shards/notes.txt"):
        (tmp_path / "run" / name).write_text("mine")
    opened(tmp_path / "run").close()
    for name in ("report.html", "shards/notes.txt"):
        assert (tmp_path / "run" / name).read_text() == "mine"


def test_a_link_for_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "nowhere").symlink_to(tmp_path / "missing")
    assert "is a symbolic link" in refusal(tmp_path / "link")
    assert "is a symbolic link" in refusal(tmp_path / "nowhere")
    assert not list((tmp_path / "real").iterdir())
    opened(tmp_path / "link" / "run").close()  # above the run, links are the user's matter


@pytest.mark.parametrize(
    "name", ["run.sqlite", "run.sqlite-journal", "lock", "holder.json", "shards"]
)
def test_links_inside_are_refused(name: str, tmp_path: Path) -> None:
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    with opened(run) as store:
        store.put(PLAN[0], harvest_of(PLAN[0]))
    if (run / name).exists():
        (run / name).rename(elsewhere)
    (run / name).symlink_to(elsewhere)
    assert f"{name} is a symbolic link" in refusal(run)


def test_a_linked_shard_is_refused(tmp_path: Path) -> None:
    run, precious = tmp_path / "run", tmp_path / "precious"
    precious.write_text("mine")
    opened(run).close()
    (run / "shards" / "0000-fgsm.safetensors").symlink_to(precious)
    assert "is a symbolic link" in refusal(run)
    assert precious.read_text() == "mine"


def test_a_link_that_comes_later_is_replaced_and_not_followed(tmp_path: Path) -> None:
    run, precious = tmp_path / "run", tmp_path / "precious"
    precious.write_text("mine")
    with opened(run) as store:
        (run / "shards" / "0000-fgsm.safetensors").symlink_to(precious)
        store.put(PLAN[0], harvest_of(PLAN[0]))
        (run / "shards" / ".0001-fgsm.safetensors.tmp").symlink_to(precious)
        with pytest.raises(OSError, match="symbolic links"):
            store.put(PLAN[1], harvest_of(PLAN[1]))
        store.put(PLAN[1], harvest_of(PLAN[1]))  # the link was cleared away
    assert precious.read_text() == "mine"


_AS_NOBODY = """
import os, sys
from pathlib import Path
from bandlimiter.errors import BandlimiterError
from tests.results.runs.test_folders import StoredRun, find_runs, opened
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
for name in ("run", "new/run"):
    try:
        opened(Path(sys.argv[1]) / name)
    except (BandlimiterError, OSError) as error:
        print(error)
run = StoredRun.open(Path(sys.argv[1]) / "run")
print(run.state, len(run.rows()), len(find_runs(Path(sys.argv[1]))))
"""


def test_a_read_only_folder_is_refused_and_can_be_read() -> None:
    """As a user who may only read: root, whom permissions do not stop, becomes one."""
    base = Path(tempfile.mkdtemp())  # one that nobody can reach, unlike pytest's own
    try:
        with opened(base / "run") as store:
            store.put(PLAN[0], harvest_of(PLAN[0]))
        (base / "new").mkdir()
        folders = [base, base / "new", base / "run", base / "run" / "shards"]
        for folder in folders:
            folder.chmod(0o555)
        done = python(_AS_NOBODY, base)
        for folder in folders:
            folder.chmod(stat.S_IRWXU)
    finally:
        shutil.rmtree(base)
    assert done.returncode == 0, done.stderr
    old, new, read = done.stdout.splitlines()
    assert "is read-only" in old
    assert "cannot be used (Permission denied)" in new
    assert read == "unfinished 2 1"


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_read_only_disk_is_refused_and_can_be_read(tmp_path: Path) -> None:
    """Which stops root as well."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if subprocess.run(mount, check=False).returncode != 0:
        pytest.skip("nothing can be mounted here")
    try:
        opened(disk / "run").close()
        remount = ["mount", "-o", "remount,ro", str(disk)]
        subprocess.run(remount, check=True)
        assert "is read-only" in refusal(disk / "run")
        assert "Read-only file system" in refusal(disk / "new")
        assert StoredRun.open(disk / "run").state == "unfinished"
    finally:
        subprocess.run(["umount", str(disk)], check=True)  # noqa: S607


def test_runs_are_found_three_levels_down(tmp_path: Path) -> None:
    for name in ("c", "a", "x/y/z", "x/y/z/deep"):
        opened(tmp_path / name).close()
    opened(tmp_path / "1/2/3/4").close()  # too deep
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "ray").mkdir()
    expected = [tmp_path / "a", tmp_path / "c", tmp_path / "x/y/z"]
    assert find_runs(tmp_path) == expected
    assert find_runs(tmp_path / "a") == [tmp_path / "a"]
    assert find_runs(tmp_path / "missing") == []
    assert find_runs(tmp_path / "file") == []
    with opened(tmp_path / "c"):
        assert find_runs(tmp_path) == expected
        states = [StoredRun.open(folder).state for folder in expected]
        assert states == ["unfinished", "in use", "unfinished"]
