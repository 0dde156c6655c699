"""Errors as one line, exit code 2; Ctrl-C says what was kept."""

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from bandlimiter.errors import BandlimiterError


def guarded(command: Callable[..., None]) -> Callable[..., None]:
    """Wrap a command: its own errors end it in one line, unless ``debug`` is set."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except (BandlimiterError, OSError) as error:  # a full disk is a user's matter too
            if kwargs.get("debug"):
                raise
            print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            print(f"interrupted: {_kept(kwargs.get('out'))}", file=sys.stderr)
            raise typer.Exit(130) from None

    return run


def _kept(out: Path | None) -> str:
    from bandlimiter.errors import LoadError
    from bandlimiter.results.lines import ROWS
    from bandlimiter.results.runs import StoredRun, find_runs

    if out is None:
        return "no rows were kept; --out DIR keeps them as they come"
    if (out / ROWS).is_file():
        with (out / ROWS).open() as file:
            return f"the {sum(1 for _ in file)} rows so far are in {out / ROWS}"
    try:
        rows = sum(len(StoredRun.open(folder).rows()) for folder in find_runs(out))
    except (LoadError, OSError):
        rows = 0
    if not rows:
        return "nothing was kept"
    return f"the {rows} rows so far are in {out}; the same command again goes on"
