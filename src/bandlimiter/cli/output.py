"""What commands print: a JSON document, or a table and a sentence."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from typing import Any, TextIO

from bandlimiter.cli.streams import writing_answer


@contextmanager
def own_stdout() -> Iterator[None]:
    """Keep stdout for the answer: what a user's model prints meanwhile goes to stderr."""
    with redirect_stdout(_BestEffort(sys.stderr)):
        yield


def answer(
    document: dict[str, Any], as_json: bool, show: Callable[[dict[str, Any]], object]
) -> None:
    """Print a document to stdout, as JSON and nothing else or as ``show`` does it."""
    with writing_answer():
        if as_json:
            print(json.dumps(document, indent=2, allow_nan=False))
        else:
            show(document)


def show_result(document: dict[str, Any]) -> None:
    """Print an evaluation as tables."""
    from rich.console import Console

    from bandlimiter.report import result_tables
    from bandlimiter.results.phases import said_phases

    console = Console()
    console.print(result_tables(document))
    console.print(document["verdict"], highlight=False, markup=False)
    if took := said_phases(document.get("seconds", {})):
        console.print(f"time: {took}", highlight=False, markup=False)


class _BestEffort:
    """A stream that may fail: a model that prints is not wrong because nobody reads it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
