"""``runs recover`` and ``runs export``, and what runs need of the system."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bandlimiter.cli.main import app
from bandlimiter.results import read_rows
from bandlimiter.results.runs import RunStore, StoredRun, folder
from tests.results.runs.material import IDENTITY, PLAN, SETTINGS, harvest_of
from tests.results.runs.processes import ROOT
from tests.results.runs.test_damage import edit, finish


def run(*arguments):
    return CliRunner().invoke(app, ["runs", *map(str, arguments)], env={"COLUMNS": "100"})


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    made = tmp_path_factory.mktemp("exported")
    finish(made / "first")
    finish(made / "again")
    return made


def test_equal_runs_export_equal_bytes(whole, tmp_path):
    pytest.importorskip("pyarrow", reason="needs the extra parquet")
    for kind in ("csv", "parquet"):
        files = [tmp_path / f"{name}.{kind}" for name in ("first", "again")]
        for file in files:
            result = run("export", whole / file.stem, f"--{kind}", "--out", file, "--json")
            assert result.exit_code == 0, result.stderr
            assert json.loads(result.stdout)["rows"] == 6
        assert files[0].read_bytes() == files[1].read_bytes()


def test_what_is_exported_are_the_rows(whole, tmp_path, monkeypatch):
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra parquet")
    monkeypatch.chdir(tmp_path)
    rows = read_rows(whole / "first")
    assert run("export", whole / "first").exit_code == 0
    with Path("first-rows.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [float(line["linf"]) for line in lines] == [row.linf for row in rows]
    assert [line["status"] for line in lines] == [str(row.status) for row in rows]
    assert run("export", whole / "first", "--parquet").exit_code == 0
    table = parquet.read_table("first-rows.parquet").to_pylist()
    assert [{**row.model_dump(), "other_seeds_clean": [], "other_seeds_adversarial": []}
            for row in rows] == table  # fmt: skip
    both = run("export", whole / "first", "--csv", "--parquet")
    assert (both.exit_code, both.stderr.count("\n")) == (2, 1)


def test_a_damaged_run_is_recovered_and_says_what_is_lost(whole, tmp_path):
    shutil.copytree(whole / "first", tmp_path / "run")
    with RunStore(tmp_path / "run", IDENTITY, PLAN, settings=SETTINGS) as store:
        store.write_document("result.json", {"verdict": "all is well"})
    edit(tmp_path / "run", "UPDATE rows SET label = 9 WHERE shard = 1")
    data = (tmp_path / "run" / "run.sqlite").read_bytes()
    (tmp_path / "run" / "run.sqlite").write_bytes(b"?" + data[1:])  # no database any more
    for command in (("runs", tmp_path), ("report", tmp_path / "run", "--out", tmp_path / "x.html")):
        result = CliRunner().invoke(app, [*map(str, command)], env={"COLUMNS": "400"})
        assert f"bandlimiter runs recover {tmp_path / 'run'}" in result.output.replace("\n", " ")
    result = run("recover", tmp_path / "run", "--json")
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert document["recovered"] == 2
    assert [each["shard"] for each in document["lost"]] == [PLAN[1].name]
    assert f"2 shards of {tmp_path / 'run'} are whole" in " ".join(
        run("recover", tmp_path / "run").stdout.split()
    )
    assert (tmp_path / "run" / "run.sqlite.damaged").read_bytes() == b"?" + data[1:]
    stored = StoredRun.open(tmp_path / "run")
    assert stored.documents == {"result.json": {"verdict": "all is well"}}
    finish(tmp_path / "run")
    assert read_rows(tmp_path / "run") == read_rows(whole / "first")


@pytest.mark.parametrize("content", [b"", b"?" * 100_000])
def test_nothing_to_recover_is_one_line(content, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.sqlite").write_bytes(content)
    for where in ("run", "none"):
        result = run("recover", tmp_path / where)
        assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert (tmp_path / "run" / "run.sqlite").read_bytes() == content


def test_a_run_in_use_is_not_recovered(tmp_path):
    with RunStore(tmp_path / "run", IDENTITY, PLAN, settings=SETTINGS):
        result = run("recover", tmp_path / "run")
        assert result.exit_code == 2
        assert "in use by process" in result.stderr
    assert StoredRun.open(tmp_path / "run").state == "unfinished"


def test_help_names_all_three_and_a_folder_is_listed():
    for words in (("--help",), ("list", "--help")):
        assert run(*words).exit_code == 0
    assert "recover" in run("--help").stdout
    assert run("nowhere").stderr.startswith("error: expected a folder of runs, got nowhere")


_WITHOUT = """
import builtins, io, os, sys

class NoFcntl:
    def find_spec(self, name, path=None, target=None):
        if name in ("fcntl", "resource", "termios", "pwd", "grp"):
            raise ImportError(f"no {name} here")

def refuse(call):
    def opened(path, *args, **kwargs):
        if isinstance(path, (str, os.PathLike)) and os.fspath(path).startswith("/proc"):
            raise FileNotFoundError(path)
        return call(path, *args, **kwargs)
    return opened

sys.meta_path.insert(0, NoFcntl())
for name in ("fcntl", "resource", "termios", "pwd", "grp"):
    sys.modules.pop(name, None)
del os.O_DIRECTORY, os.O_NOFOLLOW, os.O_CLOEXEC
os.sched_getaffinity = None; del os.sched_getaffinity
import numpy, torch  # which look there themselves
builtins.open = io.open = refuse(io.open)
os.open = refuse(os.open)
os.path.isfile = refuse(os.path.isfile)
import bandlimiter
from bandlimiter.evaluation.executors import build_executor
from bandlimiter.results.runs import StoredRun

if __name__ == "__main__":
    classifier = bandlimiter.load_model("sample")
    defended = bandlimiter.PostAverage(classifier.module, radius=6, directions=1)
    photos = bandlimiter.load_data("sample", limit=2)
    for workers in (1, 2):
        out = f"{sys.argv[1]}/{workers}"
        bandlimiter.evaluate(
            classifier.module, defended, photos, ["fgsm"], quick=True, threat="transfer", out=out,
            executor=build_executor(workers=workers, threads=1), shard_images=1,
        )
        print(StoredRun.open(out).state, len(StoredRun.open(out).rows()))
    assert "fcntl" not in sys.modules
"""


@pytest.mark.slow
def test_no_fcntl_and_no_proc_are_needed(tmp_path):
    """As on Windows, as far as that can be had elsewhere."""
    script = tmp_path / "without.py"
    script.write_text(_WITHOUT)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script), str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["done 4"] * 2


def test_a_network_file_system_is_warned_of(tmp_path, monkeypatch):
    assert not folder.on_network(tmp_path)
    mounts = f"server:/export {tmp_path} nfs4 rw 0 0\ntmpfs {tmp_path}/local tmpfs rw 0 0\n"
    monkeypatch.setattr(folder.Path, "read_text", lambda self: mounts)
    assert folder.on_network(tmp_path / "run")
    assert not folder.on_network(tmp_path / "local" / "run")
    monkeypatch.undo()
    monkeypatch.setattr("bandlimiter.results.runs.store.on_network", lambda folder: True)
    with pytest.warns(UserWarning, match="network file system"):
        RunStore(tmp_path / "run", IDENTITY, PLAN, settings=SETTINGS).close()


def test_parquet_names_its_extra(whole, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    result = run("export", whole / "first", "--parquet", "--out", tmp_path / "x.parquet")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "bandlimiter[parquet]" in result.stderr
    assert not (tmp_path / "x.parquet").exists()


def test_what_is_not_finished_is_said(tmp_path):
    with RunStore(tmp_path / "run", IDENTITY, PLAN, settings=SETTINGS) as store:
        store.put(PLAN[1], harvest_of(PLAN[1]))
    result = run("export", tmp_path / "run", "--out", tmp_path / "x.csv", "--json")
    document = json.loads(result.stdout)
    assert [document[key] for key in ("rows", "finished", "planned")] == [2, 1, 3]
    assert "note: 1 of 3 shards" in result.stderr
