"""What is left when the power goes: only what was fsynced, under names whose folder was."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bandlimiter.results.runs import RunStore
from tests.results.runs.material import IDENTITY, PLAN, SETTINGS, harvest_of


class Node:
    """A file or folder, and what of it would be there after a power cut."""

    def __init__(self, folder: bool) -> None:
        self.folder = folder
        self.kept: Any = {} if folder else b""


class Disk:
    """The worst disk that POSIX allows: nothing stays that was not asked to."""

    def __init__(self, base: Path) -> None:
        self._nodes: dict[Path, Node] = {base: Node(folder=True)}
        self._base, self._open = base, dict[int, Path]()
        self.on_sync: Callable[[], None] = lambda: None

    def opened(
        self, call: Callable[..., int], path: Any, flags: int, *rest: Any, **more: Any
    ) -> int:
        file = call(path, flags, *rest, **more)
        self._open[file] = Path(path)
        if flags & os.O_CREAT:
            self._nodes.setdefault(Path(path), Node(folder=False))
        return file

    def replaced(self, call: Callable[..., None], old: Any, new: Any) -> None:
        call(old, new)
        self._nodes[Path(new)] = self._nodes.pop(Path(old))

    def unlinked(self, call: Callable[..., None], path: Any, **more: Any) -> None:
        call(path, **more)
        self._nodes.pop(Path(path), None)

    def made(self, call: Callable[..., None], path: Any, *rest: Any) -> None:
        call(path, *rest)
        self._nodes[Path(path)] = Node(folder=True)

    def synced(self, call: Callable[[int], None], file: int) -> None:
        call(file)
        path = self._open[file]
        node = self._nodes[path]
        if node.folder:
            node.kept = {p.name: n for p, n in self._nodes.items() if p.parent == path}
        else:
            node.kept = path.read_bytes()
        self.on_sync()

    def after_a_cut(self, target: Path, node: Node | None = None) -> None:
        """Write what would be left."""
        node = node or self._nodes[self._base]
        if not node.folder:
            target.write_bytes(node.kept)
            return
        target.mkdir()
        for name, inner in node.kept.items():
            self.after_a_cut(target / name, inner)


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    (tmp_path / "base").mkdir()
    disk = Disk(tmp_path / "base")
    wrapped = {
        "open": disk.opened,
        "replace": disk.replaced,
        "unlink": disk.unlinked,
        "mkdir": disk.made,
        "fsync": disk.synced,
    }
    with monkeypatch.context() as patch:
        for name, wrapper in wrapped.items():
            patch.setattr(os, name, _bound(wrapper, getattr(os, name)))
        yield disk


def _bound(wrapper: Callable[..., Any], call: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args, **kwargs: wrapper(call, *args, **kwargs)


def opened(folder: Path) -> RunStore:
    return RunStore(folder, IDENTITY, PLAN, settings=SETTINGS)


def test_what_was_put_survives_a_power_cut_at_any_time(tmp_path: Path, disk: Disk) -> None:
    put: list[str] = []
    cuts: list[tuple[Path, list[str]]] = []

    def cut() -> None:
        target = tmp_path / f"cut{len(cuts)}"
        disk.after_a_cut(target)
        cuts.append((target, list(put)))

    disk.on_sync = cut
    with opened(tmp_path / "base" / "run") as store:
        begun = store.begin(PLAN[2])
        cut()
        for shard in PLAN[:2]:
            store.put(shard, harvest_of(shard))
            put.append(shard.name)
            cut()
        store.write_document("result.json", {"rows": 4})
        cut()
    assert begun == 0
    assert len(cuts) > 25  # opening takes about ten fsyncs, a shard ten
    disk.on_sync = lambda: None
    for folder, names in cuts:
        with opened(folder / "run") as store:
            there = [shard for shard in PLAN if shard not in store.missing()]
            assert set(names) <= {shard.name for shard in there}, folder
            assert store.rows() == [row for shard in there for row in harvest_of(shard).rows]
            if names:
                assert store.begin(PLAN[2]) == 1  # its start was durable, too
    assert (cuts[-1][0] / "run" / "result.json").read_text() == '{\n  "rows": 4\n}\n'
