"""Standard streams as commands are given them: closed, full, without a reader, in any encoding."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO


def prepare_streams() -> None:
    """Make the standard streams safe to write to.

    Where one is closed, its number is taken: else the next file that is opened gets it, a run's
    say, and what native code prints lands in that. Text that a terminal's encoding lacks, and
    file names that are no text, are written as backslash escapes.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            # Of all numbers this is the smallest that is free. Writing to stdout still fails,
            # so that an answer that nobody gets is no success.
            mode = os.O_WRONLY if name == "stderr" else os.O_RDONLY
            os.set_inheritable(os.open(os.devnull, mode), True)
        if getattr(sys, name) is None:
            opened = open(number, "w" if number else "r", closefd=False)  # noqa: SIM115
            setattr(sys, name, opened)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def writing_answer() -> Iterator[None]:
    """Write to stdout inside; what fails there ends the process in a line, after the work is done.

    Exit code 1 without a word where the reader has gone (``| head``), as other tools do; else 2.
    """
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        _drop(sys.stdout)
        raise SystemExit(1) from None
    except OSError as error:
        _drop(sys.stdout)
        print_error(f"error: cannot write to stdout ({error.strerror}); the work itself is done")
        raise SystemExit(2) from None


def print_error(line: str) -> None:
    """Write a line to stderr, if anybody reads it."""
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:
        _drop(sys.stderr)


def _drop(stream: TextIO) -> None:
    """Send what is left in a stream nowhere: else Python fails at it as the process ends."""
    with suppress(OSError):  # a stream without a number is not the process's own
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
