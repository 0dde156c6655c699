"""The rows of a run, wherever it lies."""

from pathlib import Path

from bandlimiter.results.rows import Row


def read_rows(folder: Path) -> list[Row]:
    """Read the rows of a run's finished shards.

    Raises
    ------
    LoadError
        If there is no run.
    """
    from bandlimiter.results.runs import StoredRun

    return StoredRun.open(folder).rows()
