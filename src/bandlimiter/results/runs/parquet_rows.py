"""Rows as the bytes of a Parquet file: an explicit schema, and the same bytes for the same rows."""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from pydantic import ValidationError

from bandlimiter.errors import InputError, LoadError
from bandlimiter.results.rows import Row
from bandlimiter.results.runs.labels import LABELS, check_labels

COLUMNS = {
    "image": "int64",
    "label": "int64",
    "attack": "string",
    "protocol": "string",
    "threat": "string",
    "quick": "bool",
    "epsilon": "float64",
    "plain_clean": "int64",
    "defended_clean": "int64",
    "found": "bool",
    "within_budget": "bool",
    "plain_adversarial": "int64?",
    "defended_adversarial": "int64?",
    "linf": "float64",
    "l2": "float64",
    "l2_normalised": "float64?",
    "defence": "string",
    "norm": "string",
    "stage": "string?",
    "queries": "int64?",
    "gradients": "int64?",
    "wrong": "float64?",
    "broken_share": "float64?",
    "other_seeds_clean": "int64[]",
    "other_seeds_adversarial": "int64[]",
    "target": "int64?",
    "reached": "float64?",
    "error": "string?",
}
"""Column -> type in format 1: ``?`` may be null, ``[]`` is a list. Others are another format."""

_LATER = ("target", "reached")
"""Columns that rows of older versions lack: null there."""


def rows_to_parquet(rows: Sequence[Row], labels: Mapping[str, Any]) -> bytes:
    """Write rows, and labels that say whose they are, as a Parquet file.

    The bytes depend on rows and labels alone (and on the version of pyarrow).

    Raises
    ------
    InputError
        If a whole number needs more than 64 bits.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema().with_metadata({LABELS: json.dumps(labels)})
    try:
        table = pa.Table.from_pylist([row.model_dump() for row in rows], schema=schema)
    except (pa.ArrowInvalid, OverflowError) as error:
        raise InputError(f"expected rows of 64-bit numbers, got another: {error}") from error
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    data: bytes = sink.getvalue().to_pybytes()
    return data


def rows_from_parquet(data: bytes, labels: Mapping[str, Any]) -> list[Row]:
    """Read rows back, if the labels are those expected.

    Raises
    ------
    LoadError
        If it is no Parquet file, is of a newer format or another shard, has other columns, or
        holds what is not a row.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(pa.BufferReader(data), use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise LoadError(f"expected a Parquet file of rows: {_line(error)}") from error
    check_labels((table.schema.metadata or {}).get(LABELS.encode()), labels)
    table = _with_later(table)
    _check_columns(table.schema)
    try:
        return [Row.model_validate(row) for row in table.to_pylist()]
    except ValidationError as error:
        first = error.errors()[0]
        raise LoadError(f"expected rows, got one with a bad {first['loc']}: {first['msg']}") from (
            error
        )


def _with_later(table: Any) -> Any:
    """Fill in the columns that older versions did not write."""
    import pyarrow as pa

    for name in _LATER:
        if name not in table.schema.names:
            place, column = list(COLUMNS).index(name), _schema().field(name)
            empty = pa.nulls(len(table), column.type)
            table = table.add_column(min(place, table.num_columns), column, empty)
    return table


def _check_columns(schema: Any) -> None:
    expected = _schema()
    if unknown := [name for name in schema.names if name not in COLUMNS]:
        raise LoadError(
            f"expected the columns of a row, got others too: {', '.join(unknown)}; "
            "a newer version of bandlimiter may know them"
        )
    if missing := [name for name in COLUMNS if name not in schema.names]:
        raise LoadError(f"expected all columns of a row, {', '.join(missing)} is missing")
    if not schema.remove_metadata().equals(expected):
        wrong = [name for name in COLUMNS if schema.field(name) != expected.field(name)]
        raise LoadError(f"expected a row's columns with their types and order, got others: {wrong}")


@cache
def _schema() -> Any:
    import pyarrow as pa

    kinds = {
        "int64": pa.int64(),
        "float64": pa.float64(),
        "string": pa.string(),
        "bool": pa.bool_(),
        "int64[]": pa.list_(pa.field("element", pa.int64(), nullable=False)),
    }
    return pa.schema(
        pa.field(name, kinds[kind.rstrip("?")], nullable=kind.endswith("?"))
        for name, kind in COLUMNS.items()
    )


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
