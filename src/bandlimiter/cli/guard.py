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
    from bandlimiter.results.lines import ROWS

    if out is None:
        return "no rows were kept; --out DIR keeps them as they come"
    path = out / ROWS
    if not path.is_file():
        return "nothing was kept"
    with path.open() as file:
        return f"the {sum(1 for _ in file)} rows so far are in {path}"
