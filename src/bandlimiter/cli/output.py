"""What commands print: a JSON document, or a table and a sentence."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any


@contextmanager
def own_stdout() -> Iterator[None]:
    """Keep stdout for the answer: what a user's model prints meanwhile goes to stderr."""
    with redirect_stdout(sys.stderr):
        yield


def print_json(document: dict[str, Any]) -> None:
    """Write one JSON document to stdout, and nothing else."""
    json.dump(document, sys.stdout, indent=2, allow_nan=False)
    print()


def show(document: dict[str, Any], as_json: bool) -> None:
    """Print an evaluation."""
    if as_json:
        print_json(document)
        return
    from rich.console import Console

    from bandlimiter.report import result_tables

    console = Console()
    console.print(result_tables(document))
    console.print(document["verdict"], highlight=False, markup=False)
