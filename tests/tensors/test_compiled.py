"""Compiled loops: what is kept of them on disk may be lost, cut off, or find no room."""

import errno
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numba.core.caching import IndexDataCacheFile

from bandlimiter.tensors.compiled import _mark

SOURCE = """
from bandlimiter.tensors.compiled import compiled

@compiled
def total(values):
    found = 0.0
    for value in values:
        found += value
    return found
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "loops.py"
    path.write_text(SOURCE)
    return path


def total(source: Path) -> Callable[[np.ndarray], float]:
    """Return the loop as another process finds it."""
    spec = importlib.util.spec_from_file_location("loops", source)
    module = importlib.util.module_from_spec(spec)
    sys.modules["loops"] = module  # numba looks its file up by name
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules["loops"]
    return module.total


def is_right(loop: Callable[[np.ndarray], float]) -> bool:
    return loop(np.arange(5.0)) == 10.0


def kept(source: Path, kind: str) -> list[Path]:
    return list((source.parent / "__pycache__").glob(f"*.{kind}"))


@pytest.mark.parametrize("kind", ["nbi", "nbc"])
@pytest.mark.parametrize("length", [0, 1, "half", "all but one"])
def test_what_was_cut_off_is_compiled_again_and_kept(
    source: Path, kind: str, length: object
) -> None:
    assert is_right(total(source))
    (path,) = kept(source, kind)
    whole = path.read_bytes()
    path.write_bytes(whole[: {"half": len(whole) // 2, "all but one": -1}.get(length, length)])
    assert is_right(total(source))
    again = total(source)
    assert is_right(again)
    assert sum(again.stats.cache_hits.values()) == 1


def test_no_room_for_machine_code_is_no_failure(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(IndexDataCacheFile, "save", full)
    assert is_right(total(source))
    assert not kept(source, "nbi")


def test_nowhere_to_keep_it_is_no_failure(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("numba.core.caching.CacheImpl._locator_classes", [])
    loop = total(source)
    assert is_right(loop)
    assert not kept(source, "nbi")


def marked(package: Path) -> str:
    """Return what another process would call the package's compiled loops."""
    return _mark.__wrapped__(package)


@pytest.mark.parametrize("place", ["room/loops.py", "room/folder/loops.py", "room/a/b/loops.py"])
def test_a_change_of_a_loop_at_any_depth_makes_all_compile_again(
    tmp_path: Path, place: str
) -> None:
    path = tmp_path / place
    path.parent.mkdir(parents=True)
    path.write_text(SOURCE)
    before = marked(tmp_path)
    path.write_text(SOURCE.replace("+=", "-="))
    assert marked(tmp_path) != before


def test_a_change_elsewhere_leaves_compiled_loops_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "loops.py").write_text(SOURCE)
    before = marked(tmp_path)
    (tmp_path / "plain.py").write_text("answer = 42\n")
    assert marked(tmp_path) == before
