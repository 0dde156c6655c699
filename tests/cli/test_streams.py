"""What a command does with its standard streams: closed, full, without a reader, in ASCII."""

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
from tests.cli.small_commands import COMMANDS, save_image
from tests.results.runs.damages import files
from tests.results.runs.test_damage import finish

COMMAND = f"{sys.executable} -P -m bandlimiter"
ENVIRONMENT = {**os.environ, "COLUMNS": "100", "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
ODD = os.fsdecode(b"caf\xe9")
"""A name that is no UTF-8, as Python holds it."""


def shell(line: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run a line of bash in which `%` is the command; the exit code is the command's own."""
    return subprocess.run(
        ["bash", "-c", line.replace("%", COMMAND) + "\nexit ${PIPESTATUS[0]}"],  # noqa: S607
        capture_output=True,
        cwd=cwd,
        env=ENVIRONMENT | environment,
        check=False,
        timeout=120,
    )


@pytest.fixture
def folder(tmp_path: Path, evaluated: Path) -> Path:
    """Holds a finished run, ``runs/first``."""
    return prepared(tmp_path, evaluated)


def prepared(folder: Path, run: Path) -> Path:
    shutil.copytree(run, folder / "runs" / "first")
    save_image(folder / "image.png")
    return folder


EVALUATE = " ".join(("%", *COMMANDS["evaluate"]))
QUICK = {"help": "% evaluate --help", "version": "% --version", "runs": "% runs runs"}
FULL, CLOSED, NO_READER = ">/dev/full", ">&-", "| sleep 0"
UNREAD = {FULL: b"No space left on device", CLOSED: b"Bad file descriptor", NO_READER: None}


def is_one_line(error: bytes, about: bytes | None) -> bool:
    if about is None:
        return error == b""
    return error.startswith(b"error: cannot write to stdout (" + about) and error.count(b"\n") == 1


@pytest.mark.parametrize(
    ("name", "end"),
    [
        pytest.param(name, end, marks=() if name == "version" else pytest.mark.endurance)
        for name in QUICK
        for end in (FULL, CLOSED)
    ],
)
def test_an_answer_that_nobody_gets_is_one_line(folder: Path, name: str, end: str) -> None:
    result = shell(f"{QUICK[name]} {end}", folder)
    assert result.returncode == 2
    assert is_one_line(result.stderr, UNREAD[end]), result.stderr


@pytest.mark.endurance
@pytest.mark.parametrize(
    ("name", "ends"),
    [
        ("evaluate", (FULL, NO_READER)),
        ("certify", (FULL,)),
        ("regions", (CLOSED,)),
        ("demo", (FULL,)),
    ],
)
def test_work_is_done_before_its_answer_is_lost(
    tmp_path: Path, evaluated: Path, name: str, ends: tuple[str, ...]
) -> None:
    """Files are those of a command whose answer was read."""
    command = " ".join(("%", *COMMANDS.get(name, ("demo", "--limit", "1"))))
    found = {}
    for number, end in enumerate(("", *ends)):
        here = prepared(tmp_path / str(number), evaluated)
        result = shell(f"{command} {end}", here)
        assert is_one_line(result.stderr, UNREAD.get(end)), result.stderr
        assert result.returncode in {"": (0,), NO_READER: (0, 1)}.get(end, (2,))
        found[end] = files(here)
    assert all(names == found[""] for names in found.values())


@pytest.mark.endurance
def test_a_run_is_whole_although_its_answer_is_lost(tmp_path: Path) -> None:
    result = shell(f"{EVALUATE} --json >/dev/full", tmp_path)
    assert result.returncode == 2
    assert is_one_line(result.stderr, UNREAD[FULL]), result.stderr
    assert json.loads((tmp_path / "run" / "result.json").read_text())["verdict"]
    assert len(read_rows(tmp_path / "run")) == 4


@pytest.mark.parametrize(
    "line",
    [
        "% --version | sleep 0",
        pytest.param("% evaluate --help | head -1", marks=pytest.mark.endurance),
    ],
)
def test_a_reader_that_has_gone_is_no_error(tmp_path: Path, line: str) -> None:
    result = shell(line, tmp_path)
    assert result.stderr == b""
    assert result.returncode in (0, 1)  # 0 where the pipe took all before its reader went


@pytest.mark.endurance
@pytest.mark.parametrize("end", ["2>&-", "2>/dev/full", "2>&1 >&-"])
def test_errors_that_nobody_reads_still_have_their_exit_code(tmp_path: Path, end: str) -> None:
    assert shell(f"% runs none {end}", tmp_path).returncode == 2


@pytest.mark.endurance
def test_what_models_print_to_nobody_fails_no_image(tmp_path: Path) -> None:
    """stderr without a reader: the model that prints there is still right."""
    (tmp_path / "talking.py").write_text(
        "from bandlimiter.models import load_model\n"
        "def build():\n"
        "    network = load_model('sample').module\n"
        "    network.register_forward_pre_hook(lambda *_: print('forward', flush=True))\n"
        "    return network\n"
    )
    options = "--model talking:build --data sample --scale 0.226 --radius 6 --json"
    result = shell(f"{EVALUATE} {options} 2>/dev/full", tmp_path, PYTHONPATH=source_path(tmp_path))
    assert result.returncode == 0
    assert json.loads(result.stdout)["failed"]["images"] == 0


def source_path(folder: Path) -> str:
    return os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])


@pytest.mark.endurance
def test_numbers_of_closed_streams_are_not_given_to_a_runs_files(tmp_path: Path) -> None:
    """What native code writes to 1 and 2 must land in no file."""
    (tmp_path / "native.py").write_text(
        "import os\nfrom contextlib import suppress\nfrom bandlimiter.models import load_model\n"
        "def shout(*_):\n"
        "    for number in (1, 2):\n"
        "        with suppress(OSError): os.write(number, b'shouted')\n"
        "def build():\n"
        "    network = load_model('sample').module\n"
        "    network.register_forward_pre_hook(shout)\n"
        "    return network\n"
    )
    options = "--model native:build --data sample --scale 0.226 --radius 6"
    line = f"{EVALUATE} {options} <&- >&- 2>&-"
    assert shell(line, tmp_path, PYTHONPATH=source_path(tmp_path)).returncode == 2
    assert len(read_rows(tmp_path / "run")) == 4
    holding = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert not [path for path in holding if b"shouted" in path.read_bytes()]


@pytest.mark.endurance
def test_the_module_is_the_command(tmp_path: Path) -> None:
    by_name = "import sys; sys.argv[0] = 'bandlimiter'; from bandlimiter.cli.main import app; app()"
    for arguments in ("evaluate --help", "runs none", "runs --nonsense"):
        module = shell(f"% {arguments}", tmp_path)
        named = shell(f'{sys.executable} -P -c "{by_name}" {arguments}', tmp_path)
        assert (module.returncode, module.stdout, module.stderr) == (
            named.returncode,
            named.stdout,
            named.stderr,
        )
    assert b"Usage: bandlimiter runs" in module.stderr


ASCII = {"PYTHONIOENCODING": "ascii"}
POSIX = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.mark.endurance
@pytest.mark.parametrize("environment", [ASCII, POSIX], ids=["ascii", "posix"])
def test_names_that_are_no_text_are_escaped_in_tables(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    finish(tmp_path / f"{ODD}\N{BLACK STAR}")
    line = "% runs . && % runs nowhere-$(printf 'caf\\xe9')"
    result = shell(line, tmp_path, **environment)
    assert b"caf\\udce9" in result.stdout
    assert result.stdout.isascii()
    assert result.stderr.count(b"\n") == 1
    assert b"nowhere-caf\\udce9" in result.stderr


def test_json_gives_names_back_as_the_bytes_they_are(tmp_path: Path) -> None:
    image = tmp_path / f"{ODD}.png"
    save_image(image)
    result = CliRunner().invoke(app, ["predict", str(image), "--directions", "1", "--json"])
    assert result.exit_code == 0, result.stderr
    (found,) = json.loads(result.stdout)["predictions"]
    assert os.fsencode(found["image"]) == os.fsencode(image)


def test_pages_and_tables_of_names_that_are_no_text(tmp_path: Path, evaluated: Path) -> None:
    shutil.copytree(evaluated, tmp_path / ODD)
    page, tables = tmp_path / f"page-{ODD}.html", tmp_path / f"tables-{ODD}"
    arguments = ["report", tmp_path / ODD, "--out", page, "--tables", tables]
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.stderr
    assert "caf\\udce9" in page.read_text("utf-8")
    assert f"page-{ODD}" not in result.stdout
    for path in tables.rglob("*.*"):
        path.read_bytes().decode("utf-8")


@pytest.mark.parametrize(
    "arguments",
    [
        ["evaluate", "--out", ""],
        ["evaluate", "--out="],
        ["tune", "--limit", "2", "--out", ""],
        ["runs", ""],
        ["report", "", "--out", "page.html"],
        ["predict", "--weights", "", "image.png"],
    ],
    ids=" ".join,
)
def test_empty_values_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: expected a value after ")
    assert result.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
