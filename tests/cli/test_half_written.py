"""Commands that find no room, and those that find what others left half-written."""

import json
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from bandlimiter.cli import error_handling
from bandlimiter.cli.main import app
from bandlimiter.results import read_rows
from tests.cli.small_commands import COMMANDS
from tests.results.runs.damages import WAYS, files
from tests.small_disks import small_disk

WRITING = [name for name in COMMANDS if name != "predict"]


@pytest.fixture
def here(tmp_path: Path, evaluated: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a run in it."""
    shutil.copytree(evaluated, tmp_path / "runs" / "first")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def given(*arguments: str) -> Result:
    """Give a command: it does its work, or ends in one line."""
    result = CliRunner().invoke(app, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    if result.exit_code:
        assert result.exit_code == 2
        assert result.stderr.startswith("error: ")
        assert result.stderr.count("\n") == 1
    return result


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let no file grow beyond a size: as with a full disk, writing fails half-way."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def left_over(folder: Path) -> list[str]:
    return [name for name in files(folder) if name.endswith((".tmp", ".part", ".trial"))]


IDENTITIES = ("run.sqlite", "lock")
"""Without the first nobody knows which run it is; the second holds nothing."""

ALWAYS = [("evaluate", 3000), ("certify", 0)]


@pytest.mark.parametrize(
    ("name", "size"),
    [
        pytest.param(name, size, marks=() if (name, size) in ALWAYS else pytest.mark.endurance)
        for name in WRITING
        for size in ((0, 300, 3000, 20_000) if name == "evaluate" else (0, 3000))
    ],
)
def test_no_room_is_one_line_and_room_is_enough(here: Path, name: str, size: int) -> None:
    with largest_file(size):
        full = given(*COMMANDS[name])
    if full.exit_code:
        assert "File too large" in full.stderr
    else:
        assert size == 20_000, "all of these write more than that"
    assert not left_over(here)
    roomy = given(*COMMANDS[name])
    assert roomy.exit_code == 0, roomy.stderr
    assert not left_over(here)
    if name == "evaluate":
        assert read_rows(here / "run") == read_rows(here / "runs" / "first")


@pytest.mark.endurance
@pytest.mark.parametrize("leave", [0, 4096, 12_288, 40_960])
def test_a_full_disk_leaves_nothing_that_stops_the_next_run(here: Path, leave: int) -> None:
    with small_disk(here / "disk", megabytes=1) as room:
        room.fill(leave)
        command = [*COMMANDS["evaluate"][:-1], str(room.folder / "run")]
        full = given(*command)
        assert full.exit_code == 2
        assert "No space left on device" in full.stderr
        assert not left_over(room.folder)
        room.free()
        assert given(*command).exit_code == 0
        assert len(read_rows(room.folder / "run")) == 4


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name == "certify" else pytest.mark.endurance)
        for name in WRITING
        if name not in ("evaluate", "report")
    ],
)
def test_what_others_left_half_written_is_written_anew(here: Path, name: str) -> None:
    """All files at once, but those that say which run it is; folders in their place are named."""
    assert given(*COMMANDS[name]).exit_code == 0
    folder = here / COMMANDS[name][-1]
    made = [file for file in files(folder) if Path(file).name not in IDENTITIES]
    lengths = {file: (folder / file).stat().st_size for file in made}
    for file in made:
        WAYS["half"](folder / file)
    again = given(*COMMANDS[name])
    assert again.exit_code == 0, again.stderr
    for file in made:
        if file.endswith((".json", ".png", ".svg", ".safetensors")):
            # Documents tell times and dates, of some digits more or less.
            assert abs((folder / file).stat().st_size - lengths[file]) < 40, file
        if file.endswith(".json"):
            json.loads((folder / file).read_bytes())
    for file in made:
        WAYS["folder"](folder / file)
    assert folder.name in given(*COMMANDS[name]).stderr


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "name", ["run.sqlite", "result.json", "shards/0000-00-fgsm-minimal.safetensors"]
)
def test_reports_of_damaged_runs(here: Path, name: str, way: str) -> None:
    WAYS[way](here / "runs" / "first" / name)
    result = given("report", "runs/first", "--out", "page.html")
    assert (result.exit_code == 0) == (here / "page.html").is_file()
    if result.exit_code:
        assert str(Path("runs") / "first") in result.stderr
    else:
        assert name != "run.sqlite" or way == "all but one"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["run.sqlite", "shards/0000-00-fgsm-minimal.safetensors"])
def test_ctrl_c_says_what_was_kept_whatever_lies_there(here: Path, name: str, way: str) -> None:
    """Of two shards with two rows each, those that are whole."""
    WAYS[way](here / "runs" / "first" / name)
    for folder in (here / "runs", here / "runs" / "first"):
        said = error_handling._kept(folder)
        if name == "run.sqlite" and way != "all but one":
            assert said == "nothing was kept"
        else:
            assert said.endswith(f"rows so far are in {folder}; the same command again goes on")


@pytest.mark.parametrize("name", [name for name in WRITING if name not in ("report", "reproduce")])
def test_an_out_that_is_a_file_or_cannot_be_made(here: Path, name: str) -> None:
    (here / "file").write_text("mine")
    for out in ("file", "file/below", "/proc/none", "/dev/null", "/proc/none/below"):
        result = given(*COMMANDS[name][:-1], out)
        assert result.exit_code == 2
        assert out.split("/below")[0] in result.stderr
    assert (here / "file").read_text() == "mine"


def test_out_is_where_it_was_when_the_command_was_given(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for a user's module that moves elsewhere."""
    (here / "elsewhere").mkdir()
    (here / "moving_module.py").write_text(
        "import os\nfrom bandlimiter.models import load_model\n"
        "def build():\n"
        "    os.chdir('elsewhere')\n"
        "    return load_model('sample').module\n"
    )
    monkeypatch.syspath_prepend(str(here))
    model = ("--model", "moving_module:build", "--data", "sample", "--scale", "0.226")
    result = given(*COMMANDS["evaluate"], *model, "--radius", "6")
    assert result.exit_code == 0, result.stderr
    assert len(read_rows(here / "run")) == 4
    assert not list((here / "elsewhere").iterdir())
