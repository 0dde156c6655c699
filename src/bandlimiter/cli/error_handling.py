"""Errors as one line, exit code 2; Ctrl-C says what was kept."""

import functools
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup
from typing_extensions import override

from bandlimiter.cli.streams import prepare_streams, print_error, writing_answer
from bandlimiter.errors import BandlimiterError


class CommandGroup(TyperGroup):
    """All commands, with standard streams that nothing fails at in more than a line."""

    @override
    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command that is asked for."""
        prepare_streams()
        with writing_answer():
            return super().main(*args, **kwargs)

    @override
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Refuse an empty value, which a path would take for the working folder."""
        for before, given in zip(["", *args], args, strict=False):
            if not given or (given.startswith("--") and given.endswith("=")):
                name = before if not given else given[:-1]
                print_error(
                    f"error: expected a value after {name or 'the command'}, got an empty one"
                )
                raise typer.Exit(2)
        return super().parse_args(ctx, args)


def one_line_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Wrap a command: errors end it in one line, unless ``debug`` is set."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except (typer.Exit, typer.Abort, typer.BadParameter):
            raise
        except Exception as error:  # noqa: BLE001  (a user's model may raise anything)
            if kwargs.get("debug"):
                traceback.print_exc()
                raise typer.Exit(2) from None
            print_error(f"error: {_said(error)}")
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            print_error(f"interrupted: {_kept(kwargs.get('out'))}")
            raise typer.Exit(130) from None

    return run


def _said(error: Exception) -> str:
    """Return an error in one line; of one that is not ours its kind, and where to look."""
    text = " ".join(str(error).split())
    if isinstance(error, (BandlimiterError, OSError)):  # a full disk is a user's matter too
        return text
    return f"{type(error).__name__}: {text[:300]}; --debug shows where"


def _kept(out: Path | None) -> str:
    from bandlimiter.models.card import CARD, CHECKPOINT
    from bandlimiter.results.runs import StoredRun, find_runs

    if out is None:
        return "no rows were kept; --out DIR keeps them as they come"
    try:
        if (out / CARD).is_file():
            return f"{out} holds a finished network; the same command again reads it"
        if (out / CHECKPOINT).is_file():
            return f"the training so far is in {out}; the same command again goes on"
        rows = sum(len(StoredRun.open(folder).rows()) for folder in find_runs(out))
    except (BandlimiterError, OSError):
        rows = 0
    if not rows:
        return "nothing was kept"
    return f"the {rows} rows so far are in {out}; the same command again goes on"
