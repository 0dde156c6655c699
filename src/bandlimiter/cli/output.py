"""What commands print: a JSON document, or a table and a sentence."""

import json
import sys
from typing import Any


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
