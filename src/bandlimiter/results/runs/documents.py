"""JSON documents beside a run's shards, such as its result: written whole, no part of it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bandlimiter.errors import ConfigurationError, LoadError
from bandlimiter.results.runs.files import write_file
from bandlimiter.results.runs.identity import plain_name
from bandlimiter.results.runs.layout import OWN


def document_bytes(name: str, document: Mapping[str, Any]) -> bytes:
    """Return a document's bytes.

    Raises
    ------
    ConfigurationError
        If the name is not a plain ``*.json`` that the store has no use for, or JSON cannot hold
        the document.
    """
    if not plain_name(name, "name of a document").endswith(".json") or name in OWN:
        raise ConfigurationError(
            f"expected a document's name that ends in .json and is none of {', '.join(OWN)}, "
            f"got {name!r}"
        )
    try:
        return (json.dumps(document, indent=2) + "\n").encode()
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"expected a document that JSON can hold: {error}") from error


def write_document(folder: Path, name: str, document: Mapping[str, Any]) -> None:
    """Write a document into a run's folder, whole or not at all."""
    write_file(folder / name, document_bytes(name, document))


def read_documents(folder: Path) -> dict[str, dict[str, Any]]:
    """Return a run's documents by file name.

    Raises
    ------
    LoadError
        If one is not JSON any more.
    """
    return {
        path.name: _read(path) for path in sorted(folder.glob("[!.]*.json")) if path.name not in OWN
    }


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise LoadError(
            f"expected a JSON document in {path}, it is damaged ({error}); the run's command, "
            "given again, writes its result anew"
        ) from error
    if not isinstance(document, dict):
        raise LoadError(f"expected a JSON object in {path}, got another value")
    return document
