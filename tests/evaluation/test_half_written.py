"""Any file of a run, cut off or lost: the next call heals it or names it, and rows are right."""

import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from bandlimiter import PostAverage, evaluate
from bandlimiter.cli.main import app
from bandlimiter.errors import BandlimiterError
from bandlimiter.evaluation.crash_marker import crash_marker
from bandlimiter.results import Row, read_rows
from bandlimiter.results.runs import StoredRun
from tests.results.runs.damages import WAYS, files, is_one_line

FILES = (
    *("run.sqlite", "lock", "result.json"),
    *("adversarial-fgsm-minimal.safetensors", "adversarial-fgsm-fixed.safetensors"),
    *(f"shards/{name}.safetensors" for name in ("0000-00-fgsm-minimal", "0000-01-fgsm-fixed")),
)
DECIDING = "run.sqlite"
"""What says which run it is: without it there is none, and nobody guesses."""


@cache
def models() -> tuple[nn.Module, PostAverage]:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(48, 3)).eval()
    return network, PostAverage(network, 0.5, directions=1, scale=1.0)


def evaluated(folder: Path) -> list[Row]:
    images = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    labels = models()[0](images).argmax(dim=1)
    options = {"threat": "transfer", "quick": True, "save_adversarial": True}
    return evaluate(*models(), (images, labels), ["fgsm"], out=folder, **options).rows


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run that nobody changes."""
    folder = tmp_path_factory.mktemp("half-written") / "run"
    assert len(evaluated(folder)) == 4
    return folder


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "run"))


def test_all_files_of_a_run_are_tried(whole: Path) -> None:
    assert sorted(FILES) == [name for name in files(whole) if not name.startswith("probe")]


def attempt(work: Callable[[], list[Row]]) -> tuple[list[Row], Exception | None]:
    """Return the rows, or the error that is allowed."""
    try:
        return work(), None
    except (BandlimiterError, OSError) as error:
        return [], error


def read(folder: Path, right: list[Row]) -> None:
    """Read a run in all ways: its rows are some of the right ones, in order, or it is named."""
    rows, error = attempt(lambda: StoredRun.open(folder).rows())
    if error:
        assert isinstance(error, BandlimiterError)
        assert is_one_line(error)
        assert str(folder) in str(error)
    else:
        assert rows == read_rows(folder) == [row for row in right if row in rows]
    result = CliRunner().invoke(app, ["runs", str(folder.parent), "--json"])
    assert result.exit_code == 0, result.exception
    document = json.loads(result.stdout)
    assert len(document["runs"]) + len(document["others"]) == 1
    for listed in document["runs"]:
        assert listed["rows"] == len(rows)
    for other in document["others"]:
        assert "\n" not in other["reason"]


@pytest.mark.parametrize(
    ("name", "way"),
    [
        pytest.param(name, way, marks=() if deciding or way == "half" else pytest.mark.endurance)
        for name in FILES
        for deciding in [name in (DECIDING, "shards/0000-01-fgsm-fixed.safetensors")]
        for way in WAYS
    ],
)
def test_readers_of_a_damaged_run(whole: Path, run: Path, name: str, way: str) -> None:
    WAYS[way](run / name)
    read(run, read_rows(whole))


CHOSEN = [(name, "half") for name in FILES]


@pytest.mark.parametrize(
    ("name", "way"),
    [
        pytest.param(name, way, marks=() if (name, way) in CHOSEN else pytest.mark.endurance)
        for name in FILES
        for way in WAYS
    ],
)
def test_a_damaged_run_is_healed_or_named(whole: Path, run: Path, name: str, way: str) -> None:
    WAYS[way](run / name)
    rows, error = attempt(lambda: evaluated(run))
    if error:
        assert name == DECIDING or way == "folder", error
        assert is_one_line(error)
        assert name in str(error) or (name, way) == (DECIDING, "deleted")
        return
    assert name != DECIDING or way == "all but one"
    assert rows == read_rows(whole) == read_rows(run)
    for kept in FILES:
        if kept != DECIDING:
            assert (run / kept).read_bytes() == (whole / kept).read_bytes(), kept
    assert not list(run.rglob("*.tmp"))


@pytest.mark.parametrize(
    ("said", "image"),
    [(b"", 0), (b"1", 1), (b"12", 0), (b"\0\0", 0), (b"-1", 0), (b"\xff", 0), (b"9" * 9999, 0)],
)
def test_a_mark_that_says_nothing_counts_nothing(tmp_path: Path, said: bytes, image: int) -> None:
    (tmp_path / ".run.trial").write_bytes(said)
    with crash_marker(tmp_path / "run", 3) as found:
        assert found == image
    with crash_marker(tmp_path / "run", 3) as found:
        assert found == image
    assert [path.name for path in tmp_path.iterdir()] == (
        [".run.trial"] if image or said == b"12" else []
    )


def test_a_folder_where_the_mark_would_be_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".run.trial").mkdir()
    assert len(evaluated(tmp_path / "run")) == 4
    assert (tmp_path / ".run.trial").is_dir()


def test_the_working_folder_is_a_folder_like_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert len(evaluated(Path())) == 4
    assert len(read_rows(tmp_path / "here")) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["here"]
