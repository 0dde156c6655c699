"""Which shards were started and never ended: a shard that kills its process is found by this."""

from collections import Counter
from collections.abc import Container
from pathlib import Path

from bandlimiter.results.runs.files import append_line, read_lines, write_lines


class Attempts:
    """Starts of shards, counted across processes.

    Parameters
    ----------
    path
        A journal; None counts in memory.
    ended
        Shards whose starts are over, because they were finished.
    """

    def __init__(self, path: Path | None = None, ended: Container[str] = ()) -> None:
        self._path = path
        self._open: Counter[str] = Counter()
        if path is not None:
            self._read(path, ended)

    def begin(self, shard: str) -> int:
        """Note a start durably; return how many before ended in nothing."""
        before = self._open[shard]
        self._note(shard, "begin")
        return before

    def release(self, shard: str) -> None:
        """Note that the last start ended in good order; without one, do nothing."""
        if self._open[shard]:
            self._note(shard, "release")

    def finish(self, shard: str) -> None:
        """Forget a shard's starts; on disk the manifest's line says so."""
        self._open.pop(shard, None)

    def _note(self, shard: str, event: str) -> None:
        if self._path is not None:
            append_line(self._path, {"shard": shard, "event": event})
        self._count(shard, event)

    def _count(self, shard: str, event: str) -> None:
        self._open[shard] = max(0, self._open[shard] + (1 if event == "begin" else -1))

    def _read(self, path: Path, ended: Container[str]) -> None:
        lines, whole = read_lines(path)
        kept = []
        for line in lines:
            match line:
                case {"shard": str(shard), "event": "begin" | "release" as event}:
                    if shard not in ended:
                        self._count(shard, event)
                        kept.append({"shard": shard, "event": event})
        if not whole or len(kept) < len(lines):
            write_lines(path, kept)
